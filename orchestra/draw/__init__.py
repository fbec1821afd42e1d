"""A plan as a picture: as SVG, through matplotlib, as a page, or as text. Pure values; never imports torch.

svg(plan)          the text of an SVG file
page(plan)         the text of an HTML page: a click on an augment shows its bridges
write(plan, path)  either of them, or .png or .pdf by matplotlib, as the path ends
tree(plan)         text for a terminal
"""

from orchestra.draw.outline import tree
from orchestra.draw.vector import svg
from orchestra.draw.web import page
from orchestra.draw.words import reading, state
from orchestra.draw.writing import check, write

__all__ = ["check", "page", "reading", "state", "svg", "tree", "write"]
