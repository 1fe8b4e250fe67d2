# Cell types of the study: every method on the same cells, and a classifier to pass on.
rule annotate:
    input:
        EACH_EMBEDDING,
        embeddings=EMBEDDINGS,
        counts=per_sample("results/samples/{sample}/counts.zarr.zip"),
        admission=ancient("results/admission.tsv"),
    output:
        metrics="results/study/annotate/metrics.tsv",
        per_class="results/study/annotate/per_class.tsv",
        confusion="results/study/annotate/confusion.tsv",
        comparisons="results/study/annotate/comparisons.tsv",
        predictions="results/study/annotate/predictions.parquet",
        summary="results/study/annotate/summary.json",
        classifier=directory("results/study/annotate/classifier"),
    log:
        "results/logs/annotate.log",
    benchmark:
        "results/benchmarks/annotate.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        samples=samples_admitted,
        plans=PLANS,
        options=config["annotate"],
        revision=REVISION["annotate"],
    message:
        "Learning cell types"
    script:
        "../scripts/annotate.py"
