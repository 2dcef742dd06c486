"""Content scores on the toy: do they find the ratio that an oracle finds best, and what do they cost?"""
