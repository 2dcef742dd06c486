"""`python -m gridsearch`."""

from gridsearch.cli import main

main()
