"""`python -m binclf ...` and `torchrun -m binclf ...`: one door."""

from binclf.cli import main

if __name__ == "__main__":
    main()
