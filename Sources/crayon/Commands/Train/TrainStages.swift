import ArgumentParser
import CrayonKit

struct TrainCPT: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cpt",
        abstract: "Crayon prompt tuning: crayon queries and projectors learn.",
        discussion: """
            The first stage of the paper. Crayon instructions are made of a COCO panoptic data set; the 4-bit backbone and \
            the vision tower are frozen.

            Examples:
              crayon train cpt model.crayon --coco coco -o cpt.crayon
              crayon train cpt model.crayon --coco coco --epochs 2 --rate 2e-4 --resume -o cpt.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle with crayon queries.", valueName: "model"))
    var model: String

    @OptionGroup var options: TrainOptions

    func run() throws { try options.train(model, preset: .cpt) }
}

struct TrainImageCIT: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image-cit",
        abstract: "Crayon instruction tuning, first step: a QLoRA set for objects learns.",
        discussion: """
            The set is called 'object' and begun if the bundle does not have it: rank and alpha 64, on every linear layer.

            Examples:
              crayon train image-cit cpt.crayon --coco coco -o image.crayon
              crayon train image-cit cpt.crayon --coco coco --rank 16 --dropout 0.05 -o image.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle, as a rule after 'train cpt'.", valueName: "model"))
    var model: String

    @OptionGroup var options: TrainOptions

    func run() throws { try options.train(model, preset: .imageCIT) }
}

struct TrainVLCIT: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vl-cit",
        abstract: "Crayon instruction tuning, second step: a QLoRA set for vision and language learns.",
        discussion: """
            The set is called 'vl'. The first set acts and is frozen. Conversations get the crayon prompt of the pictures \
            that the COCO data set has a map of, and are mixed with its crayon instructions.

            Examples:
              crayon train vl-cit image.crayon --conversations llava.json --images DIR \\
                --coco coco -o final.crayon
              crayon train vl-cit image.crayon --conversations llava.json --images DIR \\
                --coco coco --share conversations=3 --share coco=1 -o final.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle, as a rule after 'train image-cit'.", valueName: "model"))
    var model: String

    @OptionGroup var options: TrainOptions

    func run() throws { try options.train(model, preset: .vlCIT) }
}

struct TrainQLoRA: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qlora",
        abstract: "Plain QLoRA: one set learns from conversations or text, without crayon prompt.",
        discussion: """
            For text-only models, too. The set is called 'qlora'.

            Examples:
              crayon train qlora llama.crayon --text chats.jsonl -o tuned.crayon
              crayon train qlora model.crayon --conversations llava.json --images DIR --set chat \\
                -o tuned.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle.", valueName: "model"))
    var model: String

    @OptionGroup var options: TrainOptions

    func run() throws { try options.train(model, preset: .qlora) }
}

struct TrainCustom: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "custom",
        abstract: "A stage of one's own: what learns is said by --learn or --plan.",
        discussion: """
            Examples:
              crayon train custom model.crayon --coco coco --learn crayon=1e-3,adapters:object -o out.crayon
              crayon train custom model.crayon --coco coco --plan plan.json -o out.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle.", valueName: "model"))
    var model: String

    @OptionGroup var options: TrainOptions

    func validate() throws {
        if options.plan.plan == nil, options.plan.learn == nil, options.plan.set == nil {
            throw ValidationError("Nothing learns; give --learn, --set or --plan.")
        }
    }

    func run() throws { try options.train(model, preset: nil) }
}
