"""deploy/: is it whole, does it say what the code says, and the same in every place?"""
