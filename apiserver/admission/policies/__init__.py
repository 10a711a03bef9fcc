"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules in CEL that users bind to requests.

definitions.py    policies and bindings as stored, compiled once per change; which of them concern a request; parameters
evaluation.py     the variables of a request, and expressions evaluated on them within a budget
conditions.py     match conditions, which webhooks have as well
validating.py     the plugin that refuses, warns and notes
mutating.py       the plugin that changes objects; patching.py has the two ways of doing so
"""
