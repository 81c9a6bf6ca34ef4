import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Models
import Tensors

/// Whole jobs on a model of InternLM2-7B's shape with few layers.
enum JobBenchmarks {
    static func all(_ model: JobModel) -> [Benchmark] {
        [
            generate(32, model), prompt(512, model), prompt(1300, model), vision(model), open(model), ready(model),
            quantize(model),
        ]
    }

    private static func prompt(_ tokens: Int, _ job: JobModel) -> Benchmark {
        Benchmark("pp\(tokens)", .jobs, "a prompt of \(tokens) tokens") { () throws(CrayonError) in
            let benchmark = GenerationBenchmark(model: try job.model())
            let floor = try GenerationFloor(try BundleReader(path: try job.bundle()))
            return Benchmark.Prepared(
                job.subject, amount: Double(tokens), unit: .tokens, floor: floor.prompt(tokens)
            ) { () throws(CrayonError) in _ = try benchmark.prompt(tokens) }
        }
    }

    private static func generate(_ tokens: Int, _ job: JobModel) -> Benchmark {
        Benchmark("tg\(tokens)", .jobs, "\(tokens) tokens, one by one") { () throws(CrayonError) in
            let benchmark = GenerationBenchmark(model: try job.model())
            let floor = try GenerationFloor(try BundleReader(path: try job.bundle()))
            return Benchmark.Prepared(
                job.subject, amount: Double(tokens), unit: .tokens,
                floor: Floor([.memoryRead: Double(tokens * floor.weightBytes)])
            ) { () throws(CrayonError) in _ = try benchmark.generate(tokens) }
        }
    }

    private static func vision(_ job: JobModel) -> Benchmark {
        Benchmark("clip", .jobs, "the vision tower on one picture") { () throws(CrayonError) in
            let model = try job.model()
            guard let vision = model.configuration.vision else {
                throw CrayonError(.missing, in: model.place, found: "a model without a vision tower")
            }
            let side = vision.imageSize
            let picture = ImageInput(
                width: side, height: side, pixels: RandomWeights.matrix(rows: 3, columns: side * side).values)
            return Benchmark.Prepared(
                "ViT-L/14, \(vision.layerCount) layers, \(side) x \(side)", amount: 1, unit: .pictures,
                floor: Floor([.products: operations(vision)])
            ) { () throws(CrayonError) in _ = try model.visionFeatures(of: picture) }
        }
    }

    /// Multiplications and additions of the tower's products.
    static func operations(_ vision: VisionConfiguration) -> Double {
        let (width, inner) = (Double(vision.width), Double(vision.intermediateSize))
        let rows = Double(vision.patchCount + 1)
        let block = 2 * rows * (4 * width * width + 2 * width * inner) + 4 * rows * rows * width
        let patches = 2 * Double(vision.patchCount * 3 * vision.patchSize * vision.patchSize) * width
        return Double(vision.layerCount) * block + patches
    }

    private static func open(_ job: JobModel) -> Benchmark {
        Benchmark("open", .jobs, "opening a bundle: header, manifest, checks", comparesThreads: false) {
            () throws(CrayonError) in
            let path = try job.bundle()
            return Benchmark.Prepared(job.subject, amount: 1, unit: .runs) { () throws(CrayonError) in
                _ = try BundleReader(path: path)
            }
        }
    }

    private static func ready(_ job: JobModel) -> Benchmark {
        Benchmark("ready", .jobs, "opening a bundle until the model can run") { () throws(CrayonError) in
            let path = try job.bundle()
            return Benchmark.Prepared(job.subject, amount: 1, unit: .runs) { () throws(CrayonError) in
                _ = try VisionLanguageModel(source: try BundleReader(path: path))
            }
        }
    }

    private static func quantize(_ job: JobModel) -> Benchmark {
        Benchmark("quantize-file", .jobs, "a checkpoint on the disk to a bundle on the disk", comparesThreads: false) {
            () throws(CrayonError) in
            let checkpoint = try job.checkpoint()
            let source = try CheckpointModel.open(checkpoint).bindings.reduce(0) { $0 + $1.entry.byteCount }
            let written = try BundleReader(path: try job.bundle()).safetensors.mapping.count
            return Benchmark.Prepared(
                job.subject, amount: Double(source), unit: .bytes,
                floor: Floor([.diskRead: Double(source), .diskWrite: Double(written)]),
                before: { () throws(CrayonError) in try PageCache.drop(path: checkpoint) },
                run: { () throws(CrayonError) in _ = try job.quantize(to: "again.crayon") })
        }
    }
}
