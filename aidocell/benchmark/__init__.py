"""Published figures of cell types regenerated: the target ``snakemake benchmark``."""
