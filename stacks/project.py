"""The name of the Pulumi project, as Pulumi.yaml has it too."""

PROJECT = "cgc"
