"""`python -m orchestra`, and so `accelerate launch -m orchestra train ...`: the `orchestra` command."""

from orchestra.cli import main

if __name__ == "__main__":
    main()
