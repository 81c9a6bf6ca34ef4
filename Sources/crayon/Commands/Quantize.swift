public import ArgumentParser
public import CrayonKit
import Foundation

struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn a checkpoint into one 4-bit bundle.",
        discussion: """
            The backbone's linear layers become NF4 with double-quantized scales, bit for bit as bitsandbytes 0.50 makes \
            them; the rest stays as it is, losslessly packed. --profile and --precision change that by part. Weights that \
            bitsandbytes has quantized already (NF4, FP4, LLM.int8) keep their bits.

            --layout generic makes a bitsandbytes 4-bit folder of any Hugging Face model, as transformers would: its linear \
            layers in NF4, the rest as it is. Crayon does not run such a folder.

            Profiles:
              faithful  backbone nf4, all else as in the source (the default)
              compact   the smallest that keeps the answers: backbone, adapters nf4;
                        embeddings, head, vision, projectors int8; crayon as it is

            Examples:
              crayon quantize CHECKPOINT -o model.crayon
              crayon quantize CHECKPOINT -o model.crayon --profile compact \\
                --precision head=source --probe builtin
              crayon quantize --backbone DIR --vision DIR --crayon FILE \\
                --adapter object=DIR -o model.crayon
              crayon quantize --layout generic BLIP2 -o BLIP2-4bit
            """
    )

    @Argument(
        help: ArgumentHelp(
            "A folder or file of weights with the whole model; left out with --backbone.", valueName: "checkpoint"))
    var checkpoint: String?

    @Option(
        name: .long, help: ArgumentHelp("The language model's folder, where parts are given apart.", valueName: "dir"))
    var backbone: String?

    @OptionGroup(title: "Parts") var model: ModelOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write, or the folder.", valueName: "file"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("faithful or compact.", valueName: "name"))
    var profile = PrecisionPlan.Profile.faithful

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Format of a part; repeat for more. Parts: \(Part.allCases.map(\.rawValue).joined(separator: ", ")). Formats: "
                + "\(WeightFormat.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "part=format"))
    var precision: [String] = []

    @Option(name: .long, help: ArgumentHelp("Elements of an NF4 block: 32 to 4096.", valueName: "n"))
    var blockSize = 64

    @Flag(name: .long, inversion: .prefixedNo, help: "Quantize NF4's scales to 8 bits.")
    var doubleQuantization = true

    @Option(
        name: .long,
        help: ArgumentHelp(
            "How 8-bit codes are chosen: bitsandbytes-cpu, or exact-nearest as on CUDA.", valueName: "rule"))
    var scaleCodes = Dynamic8Kernel.Rule.bitsandbytesCPU

    @Option(name: .long, help: ArgumentHelp("Elements of an int8 block: 1 to 4096.", valueName: "n"))
    var int8BlockSize = Int8Tensor.defaultBlockSize

    @Flag(name: .long, inversion: .prefixedNo, help: "Pack what is kept as it is, losslessly.")
    var pack = true

    @Flag(
        name: .long,
        help: "Quantize weights that the checkpoint has quantized anew; without it they keep their codes and scales.")
    var requantize = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Run the source on the input of a probe file, or on 'builtin' ones (made-up tokens and picture), and keep "
                + "the logits in the bundle; repeat for more.", valueName: "file"))
    var probe: [String] = []

    @OptionGroup(title: "Models that Crayon does not know") var generic: GenericOptions

    @OptionGroup var common: CommonOptions

    func validate() throws {
        try validateLayout()
        guard (checkpoint == nil) != (backbone == nil) else {
            throw ValidationError("Name one checkpoint, or its parts with --backbone and what goes with it.")
        }
        if checkpoint != nil, model.vision != nil || model.crayon != nil {
            throw ValidationError(
                "--vision and --crayon go with --backbone, not with a checkpoint that has everything.")
        }
    }

    /// What goes with `--layout generic`, and what does not.
    private func validateLayout() throws {
        guard model.layout == GenericOptions.layout else {
            guard !generic.isUsed else { throw ValidationError("--skip and --type go with --layout generic.") }
            return
        }
        guard checkpoint != nil, !model.hasParts, precision.isEmpty, probe.isEmpty, profile == .faithful else {
            throw ValidationError(
                "--layout generic takes one checkpoint folder, and no parts, profile, precision or probe: it makes a folder, not a bundle."
            )
        }
    }

    func run() throws {
        common.apply()
        if let checkpoint, model.layout == GenericOptions.layout {
            return try generic.run(
                checkpoint, output: output,
                quantizer: NF4Quantizer(
                    blockSize: blockSize, doubleQuantization: doubleQuantization, scaleCodes: scaleCodes),
                common: common)
        }
        var plan = PrecisionPlan(profile)
        for assignment in precision { try plan.apply(assignment) }
        let source = try model.open(checkpoint: checkpoint, backbone: backbone)
        if !common.quiet {
            for tensor in source.unused {
                Output.warn("\(tensor.file): '\(tensor.name)' is not used" + (tensor.reason.map { ": \($0)" } ?? ""))
            }
        }
        let options = BundleConversion.Options(
            plan: plan,
            quantizer: try NF4Quantizer(
                blockSize: blockSize, doubleQuantization: doubleQuantization, scaleCodes: scaleCodes),
            int8Quantizer: try Int8Quantizer(blockSize: int8BlockSize, rule: scaleCodes), packs: pack,
            requantizes: requantize, probes: try ProbeInputs.collect(probe, for: source.configuration))
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let start = ContinuousClock.now
        let memory = MemoryWatch()
        let conversion = BundleConversion(options: options) { progress in
            display.update(
                label: progress.stage == .converting ? progress.tensor : progress.stage.rawValue, done: progress.done,
                total: progress.total, unit: progress.stage == .converting ? .bytes : .items)
        }
        let manifest = try conversion.run(source, output: output)
        display.finish()
        let result = QuantizeResult(
            manifest, source: source, output: output, elapsed: ContinuousClock.now - start,
            peakAnonymousBytes: memory.finish())
        if common.json {
            Output.print(try Output.json(result))
        } else if !common.quiet {
            Output.print(result.text)
        }
    }
}

extension PrecisionPlan.Profile: ExpressibleByArgument {}
extension Dynamic8Kernel.Rule: ExpressibleByArgument {}

/// What `quantize` prints at the end.
private struct QuantizeResult: Encodable {
    struct Section: Encodable {
        var name: String
        var tensors: Int
        var bytes: Int
    }

    var output: String
    var bytes: Int
    var sourceBytes: Int
    var seconds: Double
    var peakAnonymousBytes: Int?
    var sections: [Section]
    var probes: [String: Double]

    init(
        _ manifest: BundleManifest, source: CheckpointModel, output: String, elapsed: Duration, peakAnonymousBytes: Int?
    ) {
        self.output = output
        bytes = (try? FileManager.default.attributesOfItem(atPath: output)[.size] as? Int) ?? 0
        sourceBytes = source.bindings.reduce(0) { $0 + $1.entry.byteCount }
        seconds = elapsed.seconds
        self.peakAnonymousBytes = peakAnonymousBytes
        sections = manifest.sections.map { Section(name: $0.name, tensors: $0.tensors, bytes: $0.bytes) }
        probes = Dictionary(
            manifest.probes.compactMap { probe in probe.relativeError.map { (probe.name, $0) } },
            uniquingKeysWith: { $1 })
    }

    var text: String {
        var lines = [
            "\(output): \(Format.bytes(bytes)) from \(Format.bytes(sourceBytes)) of weights in \(String(format: "%.1f", seconds)) s "
                + "(\(Format.bytes(Int(Double(sourceBytes) / max(seconds, 1e-9))))/s)"
        ]
        if let peakAnonymousBytes { lines[0] += ", \(Format.bytes(peakAnonymousBytes)) of memory at most" }
        for (name, error) in probes.sorted(by: { $0.key < $1.key }) {
            lines.append("probe \(name): relative error \(Format.error(error)) against the source")
        }
        return lines.joined(separator: "\n")
    }
}
