def f(p, c):
    return 1
