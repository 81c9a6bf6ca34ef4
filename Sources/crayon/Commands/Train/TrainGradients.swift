import ArgumentParser
import CrayonKit

struct TrainGradients: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gradients",
        abstract: "Write the loss and the gradients of one recorded prompt.",
        discussion: """
            One forward and one backward pass over a probe with labels, in float32. The file holds 'loss', the mean \
            cross-entropy, and the gradient of every tensor that learns, under the tensors' names in their source: what any \
            other implementation of the backward pass can be held against.

            PART is crayon, projectors, projectors.image, projectors.crayon, adapters (of all active sets) or adapters:SET.

            Examples:
              crayon train gradients model.crayon --probe probe.safetensors -o grads.safetensors
              crayon train gradients CHECKPOINT --probe probe.safetensors --train adapters:image \\
                -o grads.safetensors
            """
    )

    @Argument(help: ArgumentHelp("A bundle or a checkpoint.", valueName: "model"))
    var model: String

    @Option(name: .long, help: ArgumentHelp("A probe with labels; see Formats/probe.md.", valueName: "file"))
    var probe: String

    @Option(name: .long, help: ArgumentHelp("What learns, separated by commas.", valueName: "part,…"))
    var train: String = "crayon,projectors,adapters"

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Activate these sets only, separated by commas.", valueName: "set,…"))
    var sets: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Keep the activations of all blocks (off), or of every n-th.", valueName: "off|n"))
    var checkpointing: String = "1"

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if Self.checkpointing(checkpointing) == nil {
            throw ValidationError("--checkpointing \(checkpointing); expected off or a positive number")
        }
    }

    func run() throws {
        common.apply()
        let parts = try train.split(separator: ",").map { try LearnablePart(String($0)) }
        let result = try ProbeGradients.write(
            source: openModel(path: model), probe: probe, parts: parts,
            options: .init(lowRankSets: sets.map { $0.split(separator: ",").map(String.init) }),
            pass: .init(checkpointing: Self.checkpointing(checkpointing) ?? .off), to: output)
        guard !common.json else { return Output.print(try Output.json(result)) }
        Output.print(
            "\(output): loss \(Format.error(result.loss)) over \(result.targets) labels, \(result.tensors) gradients of norm "
                + Format.error(result.norm))
    }

    static func checkpointing(_ text: String) -> GradientCheckpointing? {
        if text == "off" { return .off }
        return Int(text).flatMap { $0 > 0 ? .every($0) : nil }
    }
}
