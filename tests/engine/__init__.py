"""A real Docker engine for tests: started by them, on a socket and a data folder of its own, and stopped by them.

`TEST_DOCKER_HOST` names another engine to test on; no other is ever touched. Tests take the fixtures of
`engine.fixtures`; `python -m engine up` and `down` are for a person.
"""
