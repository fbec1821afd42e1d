"""Key-value arithmetic at the size of the paper's Table 1: 25,000 keys onto unique integers, with +, - and *."""
