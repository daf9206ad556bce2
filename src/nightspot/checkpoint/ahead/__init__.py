"""Copy-ahead: large tables that change in few rows a step are written while training goes on; it stops only for the rows touched since.

As a virtual machine is moved while it runs. A *base* of each table, with what its optimizer keeps for each row, is read from live
memory by the writer process: fuzzy, for training changes rows meanwhile. From before the first byte is read, hooks of the
optimizers note which rows they touch. Once the base is complete, the next step boundary copies those rows, and all that is no
table, as of that moment: a *patch*. A restore lays the patch over the base, and has exactly the state of that boundary.
"""
