# What people read: the map, the report, and the list of all outputs.
STUDY_TABLES = list(rules.annotate.output) if config["annotate"]["label"] else []


rule map:
    input:
        EACH_EMBEDDING,
        embeddings=EMBEDDINGS,
    output:
        table="results/study/map.parquet",
    log:
        "results/logs/map.log",
    benchmark:
        "results/benchmarks/map.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        samples=samples_admitted,
        plans=PLANS,
        max_cells=config["report"]["max_cells_in_map"],
        revision=REVISION["report"],
    message:
        "Drawing the map"
    script:
        "../scripts/map.py"


rule report:
    input:
        EACH_EMBEDDING,
        model="results/model.json",
        admission="results/admission.tsv",
        audits=expand("results/samples/{sample}/audit.json", sample=SAMPLES),
        qc=per_sample("results/samples/{sample}/qc.parquet"),
        counts=per_sample("results/samples/{sample}/counts.zarr.zip"),
        embeddings=EMBEDDINGS,
        map="results/study/map.parquet",
        study=STUDY_TABLES,
        finetuned=FINETUNED,
    output:
        page="results/report/report.html",
        samples="results/report/samples.tsv",
        pages=directory("results/report/samples"),
        multiqc=directory("results/report/multiqc"),
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        sheet=[sample.row for sample in SAMPLES.values()],
        config=config,
        revision=REVISION["report"],
    message:
        "Writing the report"
    script:
        "../scripts/report.py"


# Every output that is handed on, by the rule that makes it; the plans apart.
OUTPUTS = {
    "model": rules.model.output.record,
    "admit": "results/admission.tsv",
    "check": expand("results/samples/{sample}/audit.json", sample=SAMPLES),
    "qc": per_sample("results/samples/{sample}/qc.parquet"),
    "align": per_sample("results/samples/{sample}/counts.zarr.zip"),
    "gather": EMBEDDINGS,
    "annotate": STUDY_TABLES,
    "finetune": FINETUNED,
    "map": rules.map.output.table,
    "report": list(rules.report.output),
}


rule manifest:
    input:
        EACH_EMBEDDING,
        **OUTPUTS,
    output:
        table="results/manifest.tsv",
    log:
        "results/logs/manifest.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        plans=PLANS,
    message:
        "Listing all outputs"
    script:
        "../scripts/manifest.py"
