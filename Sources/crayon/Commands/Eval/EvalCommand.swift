import ArgumentParser
import CrayonKit

struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measure what a model knows of objects.",
        discussion: """
            The two object-level measures of CoLLaVO's paper, over a COCO panoptic data set, for each class that the \
            model knows and on average.

            Examples:
              crayon eval c2b model.crayon --coco coco
              crayon eval b2c model.crayon --coco coco --against other.crayon
            """,
        subcommands: [EvalC2B.self, EvalB2C.self, EvalInstructions.self]
    )
}

struct EvalC2B: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "c2b",
        abstract: "Class2Binary: is there such a thing in the picture?",
        discussion: """
            Asks after every class that is in a picture and after as many that are not, drawn by --seed. A class's \
            score is the mean of the shares right where it is there and where it is not: 50 % for a model that \
            always says the same. How many answers were neither yes nor no is counted apart.

            Examples:
              crayon eval c2b model.crayon --coco coco --limit 500
              crayon eval c2b model.crayon --coco coco --against-no-crayon --plot objects
            """
    )

    @OptionGroup var evaluation: EvalOptions

    func run() throws { try evaluation.run(.c2b) }
}

struct EvalB2C: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "b2c",
        abstract: "Box2Class: what is in the box?",
        discussion: """
            Asks what is in the box of every object of a picture. An answer is right when it names the class, capitals, \
            articles and full stops aside. How many answers named no class at all is counted apart.

            Examples:
              crayon eval b2c model.crayon --coco coco --limit 500
              crayon eval b2c model.crayon --coco coco --against 16bit-checkpoint --json
            """
    )

    @OptionGroup var evaluation: EvalOptions

    func run() throws { try evaluation.run(.b2c) }
}
