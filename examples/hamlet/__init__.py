"""The toy village of Hamlet: training text of the small built-in base model, its principle pack and its suites.

All of it is generated from one small grammar with a seed, so that a whole run fits two CPU cores, its licence is
clear, and every answer has a pattern that decides whether it is good. What is measured on it shows that the
method's machinery works, not how well the method works.
"""
