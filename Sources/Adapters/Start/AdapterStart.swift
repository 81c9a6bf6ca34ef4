import Architecture
public import BundleFormat
public import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import Quantization
import Tensors

/// Begins a training: pairs for a bundle's backbone, put into it as an active set, and for LoftQ and QPiSSA the NF4 backbone
/// that goes with them.
///
/// Layer by layer; weights and pairs are spooled, so that an interrupted run goes on and ends in the same bytes.
public struct AdapterStart: Sendable {
    public struct Progress: Sendable {
        public var stage: String
        public var done: Int
        public var total: Int
    }

    public let bundle: BundleReader
    /// Where full-precision weights are; nil for the bundle itself.
    public let source: (any BaseModel)?
    public let options: StartOptions

    public init(_ bundle: BundleReader, source: (any BaseModel)?, options: StartOptions) {
        self.bundle = bundle
        self.source = source
        self.options = options
    }

    /// Writes the bundle; nothing stands under `output` before it is whole.
    /// - Returns: the report, and the pairs as an adapter whose numbers lie in the bundle written.
    /// - Throws: `CrayonError` for an NF4 backbone without a source, a source that is another model, and as writers do.
    public func run(
        to output: String, resumes: Bool = false, progress: (Progress) -> Void = { _ in }
    ) throws(CrayonError) -> StartReport {
        let modules = try self.modules()
        let folder = try ResumeFolder(
            output: output,
            fingerprint: JSONObject([
                "job": "init", "bundle": .string(bundle.place), "bundle_file": BundleBase(bundle).stamp,
                "source": source.map { .string($0.place) } ?? .null,
                "source_files": source.map(\.stamp) ?? .null,
                "options": .object(options.fingerprint),
            ]), resumes: resumes)
        var report = StartReport(
            bundle: bundle.place, source: source?.place, output: output, method: options.method.rawValue)
        do throws(CrayonError) {
            var rewrite = BundleRewrite(bundle)
            if let source { rewrite.reads { () throws(CrayonError) in try source.checkUnchanged() } }
            let spool = StartSpool(folder: folder)
            var pairs: [AdapterModule] = []
            for (index, module) in modules.enumerated() {
                progress(Progress(stage: module.path, done: index, total: modules.count))
                if !spool.holds(module.path) { try make(module, spool) }
                let (layer, pair) = try spool.read(module.path)
                if options.method.absorbsError {
                    report.layers.append(layer)
                    rewrite.set(
                        module.target, measures: ["error", "plainError"],
                        make: { () throws(CrayonError) in
                            (
                                .nf4(try spool.weight(module.path, named: module.entry.sourceName)),
                                ["error": layer.error, "plainError": layer.plainError]
                            )
                        })
                }
                pairs.append(pair)
            }
            progress(Progress(stage: "writing", done: modules.count, total: modules.count))
            try rewrite.add(Adapter(name: options.set, place: output, modules: pairs), as: options.set)
            var described = ["method": options.method.rawValue, "rank": "\(options.rank)", "set": options.set]
            if options.method.absorbsError { described["iterations"] = "\(options.iterations)" }
            try rewrite.write(
                to: output, step: BundleStep(kind: "init", producer: Producer.name, options: described), resume: folder)
        } catch {
            if error.code != .io { folder.remove() }
            throw error
        }
        folder.remove()
        return report
    }

    /// A linear layer of the blocks.
    struct Module: Sendable {
        let path: String
        /// As the bundle has it, and as the bundle written will.
        let entry: BundleWeight
        let target: BundleWeight
        let shape: Shape
    }

    private func modules() throws(CrayonError) -> [Module] {
        var expression: Regex<AnyRegexOutput>?
        if let text = options.modules {
            guard let regex = try? Regex(text) else {
                throw CrayonError(.usage, in: "--modules", found: "'\(text)'", expected: "a regular expression")
            }
            expression = regex
        }
        let backbone = bundle.configuration.backbone
        let known = Dictionary(
            (source?.weights ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var modules: [Module] = []
        for layer in 0..<backbone.layerCount {
            for place in backbone.modules {
                guard let entry = bundle.entry(.backbone(layer, place)) else { continue }
                let weight = BaseWeight(
                    name: entry.sourceName, shape: Shape(entry.coding.shape), type: entry.coding.type, storage: .dense)
                guard let path = weight.module else { continue }
                if let expression, (try? expression.firstMatch(in: path)) == nil { continue }
                guard options.rank <= min(weight.shape.rows, weight.shape.columns) else {
                    throw CrayonError(
                        .usage, in: "--rank", found: "\(options.rank)",
                        expected:
                            "at most \(min(weight.shape.rows, weight.shape.columns)): '\(path)' is \(weight.shape)")
                }
                if options.method.absorbsError { try check(entry, weight, known[entry.sourceName]) }
                var target = entry
                if entry.coding.kind != .nf4 {
                    let quantizer = try NF4Quantizer()
                    target.coding = BundleCoding(
                        kind: .nf4, sourceType: entry.coding.sourceType,
                        type: entry.coding.type == .f64 ? .f32 : entry.coding.type,
                        shape: weight.shape, blockSize: quantizer.blockSize,
                        nestedBlockSize: quantizer.nestedBlockSize, codeRule: quantizer.scaleCodes.rawValue)
                }
                modules.append(Module(path: path, entry: entry, target: target, shape: weight.shape))
            }
        }
        guard !modules.isEmpty else {
            throw CrayonError(
                .missing, in: bundle.place, found: "no linear layer that '\(options.modules ?? "")' matches",
                expected: "linear layers of the backbone's blocks")
        }
        return modules
    }

    /// That there are numbers to come nearer to.
    private func check(
        _ entry: BundleWeight, _ weight: BaseWeight, _ original: BaseWeight?
    ) throws(CrayonError) {
        guard let source else {
            guard entry.coding.kind == .plain || entry.coding.kind == .packed else {
                throw CrayonError(
                    .missing, in: bundle.place, item: "tensor '\(entry.sourceName)'",
                    found: "\(entry.coding.kind.rawValue) codes alone",
                    expected: "the weight before quantization: its error is what \(options.method.rawValue) absorbs",
                    advice: "Name the 16-bit checkpoint with --source.")
            }
            return
        }
        guard let original else {
            throw CrayonError(
                .missing, in: source.place, item: "tensor '\(entry.sourceName)'", found: "nothing",
                expected: "\(weight.shape), as \(bundle.place) has it",
                advice: "Name the checkpoint that the bundle was made from.")
        }
        guard original.shape == weight.shape, original.storage == .dense else {
            throw CrayonError(
                .mismatch, in: source.place, item: "tensor '\(entry.sourceName)'",
                found: "\(original.storage.rawValue) \(original.shape)", expected: "dense \(weight.shape)",
                advice: "Name the 16-bit checkpoint that the bundle was made from.")
        }
    }

    private func make(_ module: Module, _ spool: StartSpool) throws(CrayonError) {
        let clock = ContinuousClock()
        let start = clock.now
        guard options.method.absorbsError else {
            let pair = ExtractedPair(
                uniformFor: module.shape, rank: options.rank, type: options.type, seed: options.seed,
                name: module.path)
            return try spool.keep(
                .init(module: module.path, rank: pair.rank, plainError: 0, error: 0, norm: 0, seconds: 0), pair, nil)
        }
        let model: any BaseModel = source ?? BundleBase(bundle)
        let coding = module.target.coding
        let quantizer = try NF4Quantizer(
            blockSize: coding.blockSize ?? 64, doubleQuantization: coding.nestedBlockSize != nil,
            nestedBlockSize: coding.nestedBlockSize ?? 256,
            scaleCodes: coding.codeRule.flatMap(Dynamic8Kernel.Rule.init(rawValue:)) ?? .bitsandbytesCPU)
        let weight = try model.stored(module.entry.sourceName)
        let found = try QuantizationStart(
            weight, name: module.entry.sourceName, type: coding.type, options: options, quantizer: quantizer,
            place: model.place)
        let layer = StartReport.Layer(
            module: module.path, rank: found.pair.rank,
            plainError: found.plainError / max(found.norm, .leastNonzeroMagnitude),
            error: found.error / max(found.norm, .leastNonzeroMagnitude), norm: found.norm,
            seconds: (clock.now - start).seconds)
        try spool.keep(layer, found.pair, found.weight)
    }
}
