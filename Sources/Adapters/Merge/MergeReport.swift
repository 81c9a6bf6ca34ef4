import Bytes
import Foundation
import Kernels

/// What a merge kept and what it cost, weight by weight.
public struct MergeReport: Codable, Equatable, Sendable {
    public var base: String
    public var output: String
    /// As the user named them.
    public var adapters: [String]
    public var layers: [MergedLayer]
    /// Tensors that were put in the place of the base's, and biases that were added to.
    public var replaced: [String]
    /// Sets that were put beside the weights instead.
    public var beside: [String]
    public var warnings: [String]

    public init(base: String, output: String, adapters: [String]) {
        self.base = base
        self.output = output
        self.adapters = adapters
        layers = []
        replaced = []
        beside = []
        warnings = []
    }

    /// Where a merged checkpoint keeps the report.
    static let fileName = "merge_report.json"

    /// What a merged checkpoint keeps of the report: JSON with keys in snake case, and names without folders, which are the
    /// business of the machine.
    var stored: String {
        var report = self
        report.base = Folder.lastPart(of: base)
        report.output = Folder.lastPart(of: output)
        report.adapters = adapters.map(Folder.lastPart)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        let data = (try? encoder.encode(report)) ?? Data()
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    /// The least share of a delta that a weight retains; nil when none has one.
    public var lowestRetention: MergedLayer? {
        layers.filter { $0.deltaRatio > 0 }.min { $0.retained < $1.retained }
    }
}

/// One weight of a merge. Norms are Frobenius norms; W is the base as it was stored.
public struct MergedLayer: Codable, Equatable, Sendable {
    public var name: String
    public var method: Method
    /// |delta| / |W|
    public var deltaRatio: Double
    /// The share of the delta that is there along its own direction: <merged - W, delta> / |delta|^2. 1 for no delta.
    public var retained: Double
    /// |merged - (W + delta)| / |W + delta|, where W is the 16-bit source if the merge began there.
    public var relativeError: Double
    /// The largest change of an element.
    public var largestChange: Double

    /// The order is that of `method` in a bundle's history.
    public enum Method: String, Codable, CaseIterable, Sendable {
        /// Added in float32 and rounded once.
        case added
        /// Dequantized, added, quantized again, as PEFT does.
        case requantized
        /// Rounded onto the base's own 4-bit grid so that the delta is kept.
        case kept
        /// Added to the 16-bit source and quantized from there.
        case fromSource = "from source"
    }

    init(_ name: String, _ method: Method, _ sums: MergeSums) {
        self.name = name
        self.method = method
        deltaRatio = sums.squaredBase > 0 ? (sums.squaredDelta / sums.squaredBase).squareRoot() : 0
        retained = sums.squaredDelta > 0 ? sums.deltaChange / sums.squaredDelta : 1
        relativeError = sums.squaredTarget > 0 ? (sums.squaredError / sums.squaredTarget).squareRoot() : 0
        largestChange = Double(sums.largestChange)
    }

    init(_ name: String, _ merged: MergedWeight) {
        self.name = name
        method = merged.method == .kept ? .kept : .requantized
        deltaRatio = merged.statistics.deltaRatio
        retained = merged.statistics.retention
        relativeError = merged.statistics.relativeError
        largestChange = merged.statistics.largestChange
    }

    /// The names of the numbers that a bundle's history keeps of each weight.
    static let measureNames = ["method", "deltaRatio", "retained", "relativeError", "largestChange"]

    var measures: [String: Double] {
        [
            "method": Double(Method.allCases.firstIndex(of: method) ?? 0), "deltaRatio": deltaRatio,
            "retained": retained, "relativeError": relativeError, "largestChange": largestChange,
        ]
    }

    init(_ name: String, measures: [String: Double]) {
        self.name = name
        let methods = Method.allCases
        let index = Int(exactly: measures["method"] ?? 0) ?? 0
        method = methods.indices.contains(index) ? methods[index] : .added
        deltaRatio = measures["deltaRatio"] ?? 0
        retained = measures["retained"] ?? 0
        relativeError = measures["relativeError"] ?? 0
        largestChange = measures["largestChange"] ?? 0
    }
}
