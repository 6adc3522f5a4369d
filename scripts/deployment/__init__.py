"""`scripts/deploy`: everything on AWS, from an empty account to a release that is watched. See deploy/aws/README.md."""
