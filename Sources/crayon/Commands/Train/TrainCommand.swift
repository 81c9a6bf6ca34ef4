import ArgumentParser

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train crayon queries, projectors and low-rank sets through the frozen backbone.",
        discussion: """
            Examples:
              crayon train gradients model.crayon --probe probe.safetensors --train crayon,projectors,adapters \\
                -o grads.safetensors
            """,
        subcommands: [TrainFresh.self, TrainGradients.self]
    )
}
