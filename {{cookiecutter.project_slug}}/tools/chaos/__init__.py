"""`make chaos`: everything is killed at random while sessions run, and nothing may be lost."""
