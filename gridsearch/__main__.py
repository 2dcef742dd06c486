"""`python -m gridsearch`."""

from gridsearch.app.cli import main

main()
