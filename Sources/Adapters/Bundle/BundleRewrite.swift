public import Architecture
public import BundleFormat
public import Bytes
public import Checkpoints
import JSON
public import Quantization
import Tensors

/// A bundle that differs from another in some of its weights: what merging and editing write.
///
/// Weights that stay are copied as they are stored, packed ones too; new ones are made when their turn comes, while the
/// one before is being written, so memory holds two at most. The order is the base's, and what is added comes last.
public struct BundleRewrite: Sendable {
    /// Makes a weight, and the measures of it that were announced.
    public typealias Maker = @Sendable () throws(CrayonError) -> (weight: StoredWeight, measures: [String: Double])

    private struct Entry: Sendable {
        var weight: BundleWeight
        /// Nil for what is copied.
        var make: Maker?
        var measures: [String] = []
        var byteCount: Int
    }

    public let base: BundleReader
    public var model: ModelConfiguration
    public var files: [AuxiliaryFile]
    /// Recorded answers are the base's: they go where the new model is another.
    public var keepsProbes = true
    private var entries: [Entry]
    /// Of what the new weights are made from, asked when all are written.
    private var checks: [@Sendable () throws(CrayonError) -> Void] = []

    public init(_ base: BundleReader) {
        self.base = base
        model = base.configuration
        files = base.files
        entries = base.manifest.weights.map { weight in
            let bytes = weight.coding.components.reduce(0) {
                $0 + (base.tensor(weight.name + $1.suffix)?.region.count ?? 0)
            }
            return Entry(weight: weight, make: nil, byteCount: bytes)
        }
    }

    public var weights: [BundleWeight] { entries.map(\.weight) }

    /// Has the rewriting fail when what new weights are made from has changed by the time that they are written.
    /// - Parameter check: throws a `CrayonError` that names the file.
    public mutating func reads(_ check: @escaping @Sendable () throws(CrayonError) -> Void) { checks.append(check) }

    public mutating func removeWeights(where isRemoved: (BundleWeight) -> Bool) {
        entries.removeAll { isRemoved($0.weight) }
    }

    /// Puts a weight that is to be made in the place of the one of its role, or at the end.
    /// - Parameters:
    ///   - measures: the names of what will be known of the weight once it is made; it goes into the history.
    ///   - make: gives a weight of exactly the coding's kind, type, shape and block sizes.
    public mutating func set(_ weight: BundleWeight, measures: [String] = [], make: @escaping Maker) {
        let bytes = weight.coding.shape.reduce(weight.coding.type.byteCount, *)
        let entry = Entry(weight: weight, make: make, measures: measures, byteCount: bytes)
        if let index = entries.firstIndex(where: { $0.weight.role == weight.role }) {
            entries[index] = entry
        } else {
            entries.append(entry)
        }
    }

    /// Writes the bundle; nothing stands under `output` before it is whole and opens.
    ///
    /// - Parameters:
    ///   - step: what was done, for the history; the makers' measures are added.
    ///   - resume: keeps what is finished, and goes on from what an earlier run had finished.
    ///   - measure: see `BundleWriter.finish`.
    ///   - progress: called from the calling thread with the weight's name, bytes done and all bytes.
    /// - Returns: the manifest as written.
    @discardableResult
    public func write(
        to output: String, step: BundleStep, resume: ResumeFolder? = nil,
        measure: ((BundleReader) throws(CrayonError) -> [String: Double])? = nil,
        progress: (String, Int, Int) -> Void = { _, _, _ in }
    ) throws(CrayonError) -> BundleManifest {
        // The header's room is reserved for the longest numbers.
        let announced = entries.filter { !$0.measures.isEmpty }.map { entry in
            (entry.weight.sourceName, Dictionary(uniqueKeysWithValues: entry.measures.map { ($0, Self.longest) }))
        }
        let manifest = BundleManifest(
            model: model, history: history(step, Dictionary(announced, uniquingKeysWith: { $1 })),
            weights: entries.map(\.weight))
        let writer = try BundleWriter(
            path: output, manifest: manifest, files: files, probes: keepsProbes ? base.probes : [],
            keptAt: resume?.file("bundle"))
        let journal = try RewriteJournal(writer, resume)
        let queue = BoundedQueue(limit: 256 << 20)
        let total = entries.reduce(0) { $0 + $1.byteCount }
        var done = 0
        do throws(CrayonError) {
            for (index, entry) in entries.enumerated() {
                progress(entry.weight.sourceName, done, total)
                if index >= journal.resumedCount {
                    let made = try entry.make.map { (make) throws(CrayonError) in try make() }
                    try queue.add(bytes: entry.byteCount) { () throws(CrayonError) in
                        if let made {
                            try writer.append(made.weight, of: entry.weight)
                        } else {
                            try copy(entry.weight, to: writer)
                        }
                        try journal.didWrite(
                            index, entry.weight.sourceName, made?.measures ?? [:], isLast: index == entries.count - 1)
                    }
                }
                done += entry.byteCount
            }
            try queue.finish()
        } catch {
            queue.cancel()
            throw error
        }
        progress("", total, total)
        try base.checkUnchanged()
        for check in checks { try check() }
        return try writer.finish(
            history: history(step, journal.measures),
            measure: { (reader) throws(CrayonError) in
                // Opening checks all that a reader of the finished file will.
                try measure?(reader) ?? [:]
            })
    }

    /// No double has a longer text.
    static let longest = -2.2250738585072014e-308

    private func history(_ step: BundleStep, _ measures: [String: [String: Double]]) -> [BundleStep] {
        var step = step
        if !measures.isEmpty { step.measures = measures }
        return base.manifest.history + [step]
    }

    /// A weight as it is stored.
    private func copy(_ weight: BundleWeight, to writer: BundleWriter) throws(CrayonError) {
        for component in weight.coding.components {
            guard let tensor = base.tensor(weight.name + component.suffix) else {
                throw CrayonError(
                    .missing, in: base.place, item: "tensor '\(weight.name)\(component.suffix)'", found: "nothing")
            }
            if component.suffix == weight.coding.quantStateSuffix {
                writer.setQuantState(tensor.region.array, of: weight)
            } else {
                try writer.append(tensor.region, to: tensor.name)
            }
            base.safetensors.dontNeed(tensor.name)
        }
    }
}

/// What of a rewritten bundle is on disk, see `WeightJournal`.
private final class RewriteJournal: @unchecked Sendable {
    private let writer: BundleWriter
    private let journal: WeightJournal
    private(set) var measures: [String: [String: Double]] = [:]
    private var unsaved: [String] = []
    private var savedItems = 0
    private var savedStates: Set<String> = []

    init(_ writer: BundleWriter, _ resume: ResumeFolder?) throws(CrayonError) {
        var progress = BundleWriter.Progress()
        var records = WeightJournal.records(resume)
        for record in records {
            progress.sizes += try record.ints("sizes")
            progress.digests += try record.strings("digests")
            for (name, value) in try record.object("states").object.members {
                if case .string(let text) = value { progress.quantStates[name] = text }
            }
            let measured = try record.object("measures")
            for name in measured.object.names {
                let values = try measured.object(name)
                for key in values.object.names { measures[name, default: [:]][key] = try values.double(key) }
            }
        }
        if !writer.holds(progress) {
            try resume?.startAnew()
            (records, progress, measures) = ([], BundleWriter.Progress(), [:])
        }
        savedItems = progress.sizes.count
        savedStates = Set(progress.quantStates.keys)
        if !records.isEmpty { writer.resume(progress) }
        self.writer = writer
        journal = WeightJournal(resume, bytesWritten: writer.bytesWritten)
    }

    var resumedCount: Int { journal.resumedCount }

    func didWrite(
        _ index: Int, _ name: String, _ values: [String: Double], isLast: Bool
    ) throws(CrayonError) {
        if !values.isEmpty {
            measures[name] = values
            unsaved.append(name)
        }
        try journal.didWrite(index, bytesWritten: writer.bytesWritten, isLast: isLast) { () throws(CrayonError) in
            try record()
        }
    }

    /// What is new since the last one.
    private func record() throws(CrayonError) -> JSONObject {
        let progress = try writer.seal()
        var states = JSONObject()
        for (name, text) in progress.quantStates.sorted(by: { $0.key < $1.key }) where savedStates.insert(name).inserted
        {
            states[name] = .string(text)
        }
        var measured = JSONObject()
        for name in unsaved {
            var values = JSONObject()
            for (key, value) in (measures[name] ?? [:]).sorted(by: { $0.key < $1.key }) { values[key] = .double(value) }
            measured[name] = .object(values)
        }
        defer {
            savedItems = progress.sizes.count
            unsaved = []
        }
        return JSONObject([
            "sizes": .array(progress.sizes[savedItems...].map(JSONValue.int)),
            "digests": .array(progress.digests[savedItems...].map(JSONValue.string)),
            "states": .object(states), "measures": .object(measured),
        ])
    }
}
