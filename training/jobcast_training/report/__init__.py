"""The accuracy report: every log of a folder trained and tested, its figures kept, one page made of them."""
