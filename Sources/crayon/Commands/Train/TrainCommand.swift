import ArgumentParser

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train crayon queries, projectors and low-rank sets through the frozen backbone.",
        discussion: """
            The paper's stages, each from the bundle that the one before has left:

              crayon train cpt       model.crayon --coco DIR -o cpt.crayon
              crayon train image-cit cpt.crayon   --coco DIR -o image.crayon
              crayon train vl-cit    image.crayon --conversations llava.json --images DIR \\
                --coco DIR -o final.crayon

            Examples:
              crayon train gradients model.crayon --probe probe.safetensors --train crayon,projectors,adapters \\
                -o grads.safetensors
            """,
        subcommands: [
            TrainCPT.self, TrainImageCIT.self, TrainVLCIT.self, TrainQLoRA.self, TrainCustom.self, TrainFresh.self,
            TrainGradients.self,
        ]
    )
}
