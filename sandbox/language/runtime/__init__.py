"""What a task has when it runs: façades of modules, builtins, its globals."""
