"""The code that runs in the sandbox processes: nothing here imports the rest of the package.

Gold answers, the grader and reward code have no place in a process that runs
generated code, so these modules are loaded without `echochamber` itself (see
`verify.processes`). They use the standard library and the sandboxed libraries.
"""
