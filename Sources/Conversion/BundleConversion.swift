import Architecture
public import BundleFormat
public import Bytes
public import Checkpoints
import Kernels
public import Models
public import Quantization
public import Tensors

/// Turns a checkpoint into a bundle.
///
/// Goals: bitsandbytes' bits; the same bytes whatever the number of threads; bounded memory, whatever the
/// sizes of tensors and shards; each source byte read from the disk once. Weights are taken in the order of
/// their files, cut into chunks, computed on all cores a group of chunks at a time, and written by another
/// thread while the next group is computed.
public struct BundleConversion: Sendable {
    public struct Options: Sendable {
        public var plan: PrecisionPlan
        public var quantizer: NF4Quantizer
        public var int8Quantizer: Int8Quantizer
        /// Whether what is kept as it is gets packed, losslessly.
        public var packs: Bool
        /// Whether weights that the source has quantized are quantized anew, from what they stand for; else they keep their
        /// codes and scales wherever the plan asks for any quantized format.
        public var requantizes: Bool
        /// Inputs that the source is run on, at full precision, before it is converted.
        public var probes: [ProbeInput]
        /// What is done to weights on their way.
        public var transform: WeightTransform?

        public init(
            plan: PrecisionPlan, quantizer: NF4Quantizer, int8Quantizer: Int8Quantizer, packs: Bool = true,
            requantizes: Bool = false, probes: [ProbeInput] = [], transform: WeightTransform? = nil
        ) {
            self.plan = plan
            self.quantizer = quantizer
            self.int8Quantizer = int8Quantizer
            self.packs = packs
            self.requantizes = requantizes
            self.probes = probes
            self.transform = transform
        }
    }

    /// A change of some weights of the source, such as a merge, and what the bundle's history says of it.
    public struct WeightTransform: Sendable {
        /// The weight as it shall be converted, of the same type and shape; nil where it stays.
        let apply: @Sendable (Binding) throws(CrayonError) -> Tensor?
        /// Throws when what weights were made from has changed meanwhile.
        let check: @Sendable () throws(CrayonError) -> Void
        /// The step for the history when all is done.
        let step: @Sendable () -> BundleStep
        /// A step that is no shorter, to reserve its room.
        let announced: BundleStep

        public init(
            announced: BundleStep, apply: @escaping @Sendable (Binding) throws(CrayonError) -> Tensor?,
            check: @escaping @Sendable () throws(CrayonError) -> Void = { () throws(CrayonError) in },
            step: @escaping @Sendable () -> BundleStep
        ) {
            self.announced = announced
            self.apply = apply
            self.check = check
            self.step = step
        }
    }

    /// How far a conversion is, in bytes of the source.
    public struct Progress: Sendable {
        public enum Stage: String, Sendable {
            case recording = "running the source on probes"
            case converting
            /// Everything is written; what the kernel still holds goes to the disk.
            case syncing = "waiting for the disk"
            case measuring = "running the bundle on probes"
        }
        public var stage: Stage
        /// The tensor that was just taken up; empty outside `converting`.
        public var tensor: String
        public var done: Int
        public var total: Int
    }

    public let options: Options
    private let report: @Sendable (Progress) -> Void

    /// - Parameter progress: called from the converting thread, once for each group of chunks.
    public init(options: Options, progress: @escaping @Sendable (Progress) -> Void = { _ in }) {
        self.options = options
        report = progress
    }

    /// Writes the bundle; nothing stands under `output` before it is whole.
    /// - Returns: the manifest as written.
    /// - Throws: `CrayonError` naming tensor and index for NaN and infinities, in weights or made by a cast; for
    ///   sources that change meanwhile; for a disk that is full.
    @discardableResult
    public func run(_ model: CheckpointModel, output: String) throws(CrayonError) -> BundleManifest {
        let bindings = Self.inFileOrder(model)
        let weights = try bindings.map { (binding) throws(CrayonError) in
            BundleWeight(
                role: binding.role, part: binding.part, name: Self.name(of: binding, in: model),
                sourceName: binding.sourceName, origin: Self.folder(of: binding, in: model),
                coding: try coding(for: binding, place: model.place))
        }
        let probes = try recordProbes(of: model)
        let history = { (sources: [BundleSource], change: BundleStep?) in
            [BundleStep(kind: "convert", producer: Producer.name, options: describe(), sources: sources)]
                + [change].compactMap { $0 }
        }
        let sourceFiles = Self.sourceFiles(of: model)
        try AtomicFile.refuse(output, among: sourceFiles.map(\.file.path))
        // Digests have a known length: the header's room is reserved for the history as it will be.
        let pending = sourceFiles.map {
            BundleSource(
                name: Folder.lastPart(of: $0.file.path), origin: $0.origin,
                byteCount: $0.file.byteCount, sha256: String(repeating: "0", count: 64))
        }
        let manifest = BundleManifest(
            model: model.configuration, history: history(pending, options.transform?.announced), weights: weights)
        let stored = try probes.map { (probe) throws(CrayonError) in
            try BundleProbe(
                name: probe.place,
                tensors: Dictionary(uniqueKeysWithValues: probe.tensors.map { ($0.name, $0) }), in: model.place)
        }
        let writer = try BundleWriter(path: output, manifest: manifest, files: model.files, probes: stored)

        let digests = SourceDigests(sourceFiles)
        defer { digests.cancel() }
        let stream = WeightStream(
            writer: writer, quantizer: options.quantizer, int8Quantizer: options.int8Quantizer)
        do throws(CrayonError) {
            try write(bindings, as: weights, of: model, to: stream, digests)
        } catch {
            stream.cancel()
            throw error
        }
        report(Progress(stage: .syncing, tensor: "", done: 0, total: 1))
        let sources = try digests.finish()
        try model.checkUnchanged()
        try options.transform?.check()
        return try writer.finish(
            history: history(sources, options.transform?.step()),
            measure: probes.isEmpty ? nil : { (reader) throws(CrayonError) in try measure(probes, on: reader) })
    }

    /// Streams every weight into the bundle.
    private func write(
        _ bindings: [Binding], as weights: [BundleWeight], of model: CheckpointModel, to stream: WeightStream,
        _ digests: SourceDigests
    ) throws(CrayonError) {
        let total = bindings.reduce(0) { $0 + $1.entry.denseByteCount }
        var done = 0
        for (index, (binding, entry)) in zip(bindings, weights).enumerated() {
            if index + 1 < bindings.count {
                Self.checkpoint(of: bindings[index + 1], in: model)?.willNeed(bindings[index + 1].sourceName)
            }
            report(Progress(stage: .converting, tensor: binding.sourceName, done: done, total: total))
            let place = Self.checkpoint(of: binding, in: model)?.file(of: binding.sourceName) ?? model.place
            if let kept = try kept(binding) {
                try stream.write(kept, as: entry, place: place)
                done += binding.entry.denseByteCount
                digests.advance(by: binding.entry.byteCount)
                Self.checkpoint(of: binding, in: model)?.dontNeed(binding.sourceName)
                continue
            }
            let tensor: Tensor
            if let changed = try options.transform?.apply(binding) {
                tensor = changed
            } else {
                tensor = try binding.tensor()
            }
            try stream.write(tensor, as: entry, place: place) { bytes in
                done += bytes
                digests.advance(by: bytes)
                report(Progress(stage: .converting, tensor: binding.sourceName, done: done, total: total))
            }
            Self.checkpoint(of: binding, in: model)?.dontNeed(binding.sourceName)
        }
        try stream.finish()
    }

    // MARK: Probes

    private func recordProbes(of model: CheckpointModel) throws(CrayonError) -> [Probe] {
        guard !options.probes.isEmpty else { return [] }
        let network = try VisionLanguageModel(source: model)
        var probes: [Probe] = []
        for (index, probe) in options.probes.enumerated() {
            report(Progress(stage: .recording, tensor: "", done: index, total: options.probes.count))
            probes.append(try network.record(probe))
        }
        report(Progress(stage: .recording, tensor: "", done: probes.count, total: probes.count))
        return probes
    }

    private func measure(_ probes: [Probe], on bundle: BundleReader) throws(CrayonError) -> [String: Double] {
        let network = try VisionLanguageModel(source: bundle)
        var errors: [String: Double] = [:]
        for (index, probe) in probes.enumerated() {
            report(Progress(stage: .measuring, tensor: "", done: index, total: probes.count))
            errors[probe.place] = try network.compare(probe).relativeError
        }
        report(Progress(stage: .measuring, tensor: "", done: probes.count, total: probes.count))
        return errors
    }

    // MARK: Plans

    /// The weight as its source has it quantized, where it stays so.
    private func kept(_ binding: Binding) throws(CrayonError) -> StoredWeight? {
        guard binding.entry.keepsCodes, !options.requantizes,
            [.nf4, .int8, .source].contains(options.plan.format(of: binding.parameter))
        else { return nil }
        return try binding.weight()
    }

    private func coding(for binding: Binding, place: String) throws(CrayonError) -> BundleCoding {
        if let kept = try kept(binding) { return BundleCoding(storing: kept) }
        let (source, shape) = (binding.type, binding.shape)
        func dense(_ type: ElementType) throws(CrayonError) -> BundleCoding {
            var isPacked = options.packs && shape.count * type.byteCount >= PackedTensor.leastByteCount
            if isPacked {
                let tensor = try binding.tensor()
                // A cast is judged by what becomes of its first elements.
                isPacked = PackedTensor.isWorthwhile(
                    type == source
                        ? tensor : WeightStream.cast(tensor, elements: 0..<min(shape.count, 1 << 15), to: type))
            }
            return BundleCoding(
                kind: isPacked ? .packed : .plain, sourceType: source, type: type, shape: shape,
                blockSize: isPacked ? PackedTensor.blockElements : nil)
        }
        // bitsandbytes knows three types; float64 is rounded to float32 on the way in.
        let quantizedType = source == .f64 ? ElementType.f32 : source
        switch options.plan.format(of: binding.parameter) {
        case .source: return try dense(source)
        case .bf16: return try dense(.bf16)
        case .f16: return try dense(.f16)
        case .f32: return try dense(.f32)
        case .nf4:
            return BundleCoding(
                kind: .nf4, sourceType: source, type: quantizedType, shape: shape,
                blockSize: options.quantizer.blockSize,
                nestedBlockSize: options.quantizer.doubleQuantization ? options.quantizer.nestedBlockSize : nil,
                codeRule: options.quantizer.doubleQuantization ? options.quantizer.scaleCodes.rawValue : nil)
        case .int8:
            return BundleCoding(
                kind: .int8, sourceType: source, type: quantizedType, shape: shape,
                blockSize: options.int8Quantizer.blockSize, codeRule: options.int8Quantizer.rule.rawValue)
        }
    }

    /// The options as provenance has them.
    private func describe() -> [String: String] {
        var described = [
            "profile": options.plan.profile.rawValue,
            "block_size": "\(options.quantizer.blockSize)",
            "double_quantization": "\(options.quantizer.doubleQuantization)",
            "scale_codes": options.quantizer.scaleCodes.rawValue,
            "int8_block_size": "\(options.int8Quantizer.blockSize)",
            "packed": "\(options.packs)",
        ]
        if options.requantizes { described["requantized"] = "true" }
        for part in Part.allCases { described["precision.\(part.rawValue)"] = options.plan[part].rawValue }
        return described
    }
}
