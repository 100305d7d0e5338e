"""`make mutants`: breaches of the promise that the tests must see."""
