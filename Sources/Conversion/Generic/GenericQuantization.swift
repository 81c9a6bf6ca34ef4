public import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
public import Quantization
import Synchronization
public import Tensors

/// Makes a bitsandbytes 4-bit checkpoint folder of any Hugging Face model's linear weights, without knowing the model: what
/// `from_pretrained` with a `BitsAndBytesConfig` and `save_pretrained` would make. See `Formats/generic.md`.
///
/// Weights go through a run at a time, on all cores; the folder has its configuration first and its index last.
public struct GenericQuantization: Sendable {
    public struct Options: Sendable {
        public var quantizer: NF4Quantizer
        /// What weights are rounded to before; nil for what config.json says, or the type that each has.
        public var type: ElementType?
        /// Modules that are left alone, in place of the output heads; nil for those.
        public var skips: [String]?
        /// Most bytes of tensors in one file.
        public var shardLimit: Int

        public init(
            quantizer: NF4Quantizer, type: ElementType? = nil, skips: [String]? = nil,
            shardLimit: Int = 5_000_000_000
        ) {
            self.quantizer = quantizer
            self.type = type
            self.skips = skips
            self.shardLimit = shardLimit
        }
    }

    public let options: Options

    public init(options: Options) { self.options = options }

    /// - Parameters:
    ///   - path: a checkpoint folder with a config.json.
    ///   - folder: created where it is not there; must not have weights or a configuration yet.
    ///   - progress: called from several threads; it should be quick.
    /// - Throws: `CrayonError` for what cannot be read, weights that are not finite, and a folder that holds a model.
    public func run(
        _ path: String, to folder: String, progress: (@Sendable (ExportProgress) -> Void)? = nil
    ) throws(CrayonError) -> GenericReport {
        let checkpoint = try openWeights(path)
        var files = try smallFiles(beside: path)
        guard let place = files.firstIndex(where: { $0.name == "config.json" }) else {
            throw CrayonError(
                .missing, in: path, item: "config.json", found: "nothing",
                expected: "a folder with a model's config.json",
                advice: "Name the folder that holds the weights and their configuration.")
        }
        let name = "\(path): config.json"
        let config = try JSONReader(
            JSONValue.parse(files[place].region, name: name, limits: .init(depth: 64)), place: name)
        let plan = try GenericPlan(checkpoint, config: config, options: options)
        files[place] = AuxiliaryFile(
            name: "config.json", region: ByteRegion(copying: Array(plan.configurationText.utf8)))

        let output = try GenericFolder(folder, plan: plan, options: options)
        do throws(CrayonError) {
            try write(plan, from: checkpoint, to: output, progress)
            try checkpoint.checkUnchanged()
            for file in files { try AtomicFile.write(file.region.array, to: "\(folder)/\(file.name)") }
            try output.commit()
        } catch {
            output.removeIfEmpty()
            throw error
        }
        return GenericReport(
            plan, folder: folder, files: files.map(\.name) + output.names, byteCount: output.byteCount)
    }

    private func write(
        _ plan: GenericPlan, from checkpoint: any Checkpoint, to output: GenericFolder,
        _ progress: (@Sendable (ExportProgress) -> Void)?
    ) throws(CrayonError) {
        let total = plan.items.reduce(0) { $0 + $1.entry.denseByteCount }
        let done = Atomic<Int>(0)
        for item in plan.items {
            let name = item.entry.name
            checkpoint.willNeed(name)
            guard let tensor = try checkpoint.tensor(name) else {
                throw CrayonError(.missing, in: checkpoint.place, item: "tensor '\(name)'", found: "nothing")
            }
            let run = WeightRun(
                tensor: tensor, type: item.type, isTransposed: item.decision == .transposed,
                place: checkpoint.file(of: name))
            let advance = { (count: Int) in
                let bytes = count * tensor.type.byteCount
                let now = done.add(bytes, ordering: .relaxed).newValue
                progress?(ExportProgress(tensor: name, doneBytes: now, totalBytes: total))
            }
            if tensor.type.isFloat { try run.checkFinite() }
            if item.isQuantized {
                try quantize(run, name, to: output, advance)
            } else {
                try Parallel.forEachRange(of: run.shape.count, size: Self.runElements) { (range) throws(CrayonError) in
                    let piece = try run.elements(range)
                    try withExtendedLifetime(piece) { () throws(CrayonError) in
                        try output.write(piece.region.buffer, of: name, at: range.lowerBound * run.type.byteCount)
                    }
                    advance(range.count)
                }
            }
            checkpoint.dontNeed(name)
        }
    }

    /// Elements that one task works on; a multiple of every block size.
    private static let runElements = 1 << 20

    private func quantize(
        _ run: WeightRun, _ name: String, to output: GenericFolder, _ advance: (Int) -> Void
    ) throws(CrayonError) {
        let quantizer = options.quantizer
        let count = run.shape.count
        let absmax = ByteBuffer(uninitialized: quantizer.blockCount(of: count) * 4)
        let scales = absmax.pointer.assumingMemoryBound(to: Float.self)
        try Parallel.forEachRange(of: count, size: Self.runElements) { (range) throws(CrayonError) in
            let piece = try run.elements(range)
            let codes = ByteBuffer(uninitialized: (range.count + 1) / 2)
            try quantizer.quantizeBlocks(
                of: piece, elements: 0..<range.count, codes: codes.pointer.assumingMemoryBound(to: UInt8.self),
                absmax: scales + range.lowerBound / quantizer.blockSize, place: run.place)
            try output.write(UnsafeRawBufferPointer(codes.bytes), of: name, at: range.lowerBound / 2)
            withExtendedLifetime(codes) {}
            advance(range.count)
        }
        let quantized = try quantizer.quantizeScales(absmax.region, name: name, place: run.place)
        func put(_ component: NF4Tensor.Component, _ region: ByteRegion) throws(CrayonError) {
            try withExtendedLifetime(region) { () throws(CrayonError) in
                try output.write(region.buffer, of: name + component.rawValue)
            }
        }
        try put(.quantMap, NF4Tensor.standardMap)
        var nested: QuantState.Nested?
        switch quantized {
        case .single(let absmax): try put(.absmax, absmax)
        case .double(let scales):
            try put(.absmax, scales.codes)
            try put(.nestedAbsmax, scales.nestedAbsmax)
            try put(.nestedQuantMap, scales.nestedMap)
            nested = QuantState.Nested(blockSize: scales.nestedBlockSize, offset: scales.offset)
        }
        let state = QuantState(
            blockSize: quantizer.blockSize, sourceType: run.type, shape: run.shape, nested: nested)
        output.setState(Array(state.text.utf8), of: name)
    }
}

/// What was quantized, and what was left alone.
public struct GenericReport: Codable, Sendable {
    public struct Kept: Codable, Sendable {
        public let reason: String
        public let names: [String]
    }

    public let folder: String
    public let files: [String]
    /// Names of the weights that are 4-bit now.
    public let quantized: [String]
    public let kept: [Kept]
    public let sourceBytes: Int
    public let byteCount: Int
    public let warnings: [String]

    init(_ plan: GenericPlan, folder: String, files: [String], byteCount: Int) {
        self.folder = folder
        self.files = files
        quantized = plan.items.filter(\.isQuantized).map(\.entry.name)
        kept = LinearWeights.Reason.allCases.compactMap { reason in
            let names = plan.items.filter { $0.decision == .kept(reason) }.map(\.entry.name)
            return names.isEmpty ? nil : Kept(reason: reason.rawValue, names: names)
        }
        sourceBytes = plan.items.reduce(0) { $0 + $1.entry.byteCount }
        self.byteCount = byteCount
        warnings = plan.warnings
    }
}
