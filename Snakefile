# The data flow, stage by stage; config/README.md explains every key.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27.1")


# another working directory without a config of its own runs the one of this repository
CONFIG = Path("config/config.yaml")
if not CONFIG.exists():
    CONFIG = Path(workflow.current_basedir) / CONFIG


configfile: str(CONFIG)


include: "workflow/rules/common.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/qc.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/benchmark.smk"


localrules:
    all,
    check_only,
    qc_only,
    embeddings_only,


onstart:
    record_run()


onerror:
    sum_up("results", log)


rule all:
    default_target: True
    input:
        EACH_EMBEDDING,
        "results/manifest.tsv",
        # each by name: Snakemake misses no deleted file that a finished one was made from
        **OUTPUTS,
        plan=plans_lost,


rule check_only:
    input:
        "results/admission.tsv",


rule qc_only:
    input:
        per_sample("results/samples/{sample}/qc.parquet"),


rule embeddings_only:
    input:
        EACH_EMBEDDING or EMBEDDINGS,
