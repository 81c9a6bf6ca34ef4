import ArgumentParser
import CrayonKit

struct SynthesizeScenes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenes",
        abstract: "Draw pictures of coloured shapes with their panoptic maps, to train a small model on.",
        discussion: """
            A folder as 'crayon train --coco' reads it: panoptic.json, N.png and N_panoptic.png; and conversations.json, \
            everyday questions about the same pictures. Pictures are 112 x 112, of the 16 classes that the sample model knows.

            Examples:
              crayon synthesize scenes --count 2000 -o train
              crayon synthesize scenes --count 100 --held-out -o val
            """
    )

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Scenes.", valueName: "n"))
    var count = 1000

    @Flag(name: .long, help: "Draw from the layouts that are kept for measuring: one in sixteen.")
    var heldOut = false

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64 = 0

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if count < 1 { throw ValidationError("--count \(count); expected at least 1") }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet)
        try SyntheticDataset(count: count, seed: seed, isHeldOut: heldOut).write(to: output) { done, total in
            display.update(label: "scenes", done: done, total: total, unit: .items)
        }
        display.finish()
        if !common.quiet { Output.print("\(output): \(count) scenes") }
    }
}
