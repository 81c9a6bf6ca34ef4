import BundleFormat
public import Bytes
public import Checkpoints
import Foundation
public import Layers
import Models
import Tensors

/// Verifies a model by running it: structure, digests, numbers, then logits against recorded ones and
/// against the source's.
public struct Verifier: Sendable {
    /// The relative error that is allowed against a probe file, and where nothing was quantized. Float32 sums in
    /// another order stay two magnitudes below it.
    public static let defaultTolerance = 1e-3

    /// Stored probes repeat a record made by the same code; what is left is the order of sums.
    public static let recordSlack = (share: 0.05, floor: 1e-4)

    /// What 4-bit and 8-bit weights may do to logits before something other than rounding must be suspected.
    public static let quantizedLogitTolerance = 0.35

    public struct Options: Sendable {
        /// Probe files.
        public var probes: [String]
        /// Allowed relative error of logits; nil for the defaults above.
        public var tolerance: Double?
        /// The model that the bundle was made from.
        public var source: CheckpointModel?
        /// Whether probes that the bundle carries are run.
        public var runsStoredProbes: Bool
        /// What the model's products with weights are computed in. The source's are float32.
        public var arithmetic: Arithmetic

        public init(
            probes: [String] = [], tolerance: Double? = nil, source: CheckpointModel? = nil,
            runsStoredProbes: Bool = true, arithmetic: Arithmetic = .float32
        ) {
            self.probes = probes
            self.tolerance = tolerance
            self.source = source
            self.runsStoredProbes = runsStoredProbes
            self.arithmetic = arithmetic
        }
    }

    /// How far a verification is.
    public struct Progress: Sendable {
        public enum Stage: String, Sendable {
            case digests = "reading every byte"
            case numbers = "looking at every number"
            case probes = "running probes"
            case source = "comparing with the source"
        }
        public var stage: Stage
        public var done: Int
        public var total: Int
    }

    public let options: Options
    private let report: @Sendable (Progress) -> Void

    /// - Parameter progress: called from several threads; it should be quick.
    public init(options: Options, progress: @escaping @Sendable (Progress) -> Void = { _ in }) {
        self.options = options
        report = progress
    }

    /// Verifies the bundle or checkpoint at `path`.
    ///
    /// A model that does not hold together gives a report that says so; what keeps the work from being done
    /// at all is thrown.
    /// - Throws: `CrayonError` for files that cannot be read and probes that do not fit the model.
    public func run(path: String) throws(CrayonError) -> VerificationReport {
        let model: any ModelSource
        do {
            model = try openModel(path: path)
        } catch  where error.code != .io && FileManager.default.isReadableFile(atPath: path) {
            return damageReport(path, error)
        }
        var result = VerificationReport(model: path, structure: .init(passed: true), probes: [], passed: false)

        let bundle = model as? BundleReader
        if let bundle {
            let digests = digestFindings(of: BundleContents(bundle))
            result.digests = digests
            // Numbers that are known to be wrong are not worth running.
            guard digests.passed else { return result }
        }

        result.numbers = try NumberCheck(source: model).run { report(Progress(stage: .numbers, done: $0, total: $1)) }

        let network = try VisionLanguageModel(source: model, options: .init(arithmetic: options.arithmetic))
        var probes: [NamedProbe] = []
        if let bundle, options.runsStoredProbes { probes += try storedProbes(of: bundle) }
        for file in options.probes {
            let probe = try Probe(SafetensorsFile(path: file), for: model.configuration)
            probes.append(
                NamedProbe(name: file, probe: probe, tolerance: options.tolerance ?? Self.defaultTolerance))
        }
        for (index, probe) in probes.enumerated() {
            report(Progress(stage: .probes, done: index, total: probes.count))
            result.probes.append(try probe.finding(network.compare(probe.probe)))
        }
        report(Progress(stage: .probes, done: probes.count, total: probes.count))

        if let source = options.source {
            // Real questions say more than made-up ones.
            let asked = options.probes.isEmpty ? probes : probes.suffix(options.probes.count)
            let inputs = asked.map { ProbeInput(name: $0.name, input: $0.probe.input, labels: $0.probe.labels) }
            result.source = try compare(
                model, network, with: source,
                on: inputs.isEmpty ? BuiltInProbe.inputs(for: source.configuration) : inputs)
        }
        result.passed =
            result.structure.passed && result.digests?.passed ?? true && result.numbers?.passed ?? true
            && result.probes.allSatisfy(\.passed) && result.source?.passed ?? true
        return result
    }

    private func digestFindings(of bundle: BundleContents) -> VerificationReport.DigestFindings {
        let failed = bundle.differing { report(Progress(stage: .digests, done: $0, total: $1)) }
        return .init(
            checkedTensors: bundle.file.names.count, checkedBytes: bundle.byteCount, failed: failed,
            passed: failed.isEmpty)
    }

    /// What a model that cannot be opened is like: of a bundle, the part of the header that is damaged, or all damaged tensors.
    private func damageReport(_ path: String, _ error: CrayonError) -> VerificationReport {
        var result = VerificationReport(
            model: path, structure: .init(passed: false, problem: error.description), probes: [], passed: false)
        guard (try? isBundle(path)) == true, let file = try? DamagedFile(path: path) else { return result }
        if let part = BundleHeaderState(of: file).damage {
            result.structure.problem = "\(path): header: its \(part.rawValue) is not what was written (\(error))"
        } else if let contents = try? BundleContents(path: path) {
            result.digests = digestFindings(of: contents)
        }
        return result
    }

    /// A probe to run.
    private struct NamedProbe {
        var name: String
        var probe: Probe
        var tolerance: Double

        func finding(_ comparison: LogitComparison) -> VerificationReport.ProbeFinding {
            .init(name: name, positions: probe.logits.rows, comparison: comparison, tolerance: tolerance)
        }
    }

    private func storedProbes(of bundle: BundleReader) throws(CrayonError) -> [NamedProbe] {
        var probes: [NamedProbe] = []
        for stored in bundle.probes {
            let tensors = stored.tensors.map { $0.tensor.named($0.field) }
            let probe = try Probe(
                TensorList(place: "\(bundle.place): probe '\(stored.name)'", tensors: tensors),
                for: bundle.configuration)
            let recorded = bundle.manifest.probes.first { $0.name == stored.name }?.relativeError
            let tolerance =
                options.tolerance
                ?? recorded.map { $0 * (1 + Self.recordSlack.share) + Self.recordSlack.floor } ?? Self.defaultTolerance
            probes.append(NamedProbe(name: stored.name, probe: probe, tolerance: tolerance))
        }
        return probes
    }

    private func compare(
        _ model: any ModelSource, _ network: VisionLanguageModel, with source: CheckpointModel,
        on inputs: [ProbeInput]
    ) throws(CrayonError) -> VerificationReport.SourceFindings {
        let tensors = try SourceComparison(model: model, source: source).run {
            report(Progress(stage: .source, done: $0, total: $1))
        }
        let isExact = tensors.allSatisfy { $0.relativeError == 0 }
        let tolerance = options.tolerance ?? (isExact ? Self.defaultTolerance : Self.quantizedLogitTolerance)
        let original = try VisionLanguageModel(source: source)
        var logits: [VerificationReport.ProbeFinding] = []
        for input in inputs {
            let probe = NamedProbe(name: input.name, probe: try original.record(input), tolerance: tolerance)
            logits.append(try probe.finding(network.compare(probe.probe)))
        }
        return .init(
            source: source.place, tensors: tensors, logits: logits,
            passed: tensors.allSatisfy(\.passed) && logits.allSatisfy(\.passed))
    }
}
