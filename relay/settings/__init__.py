"""The settings of the services and the commands, from environment variables: one module for each reader.

Nothing else reads the environment. Each field's alias is the variable, its description is what `.env.example` says.
"""
