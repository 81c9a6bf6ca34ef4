import ArgumentParser
import CrayonKit
import Foundation

struct DataPreviewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Show examples as a model would see them.",
        discussion: """
            Prints prompts and answers, what is learned between « and », and writes each picture with its crayon map \
            drawn over it. With a model: by its template, tokenizer, classes and grid, with token ids, those that are \
            learned in brackets. Nothing is trained.

            Examples:
              crayon data preview --coco coco -o preview
              crayon data preview model.crayon --coco coco --split val --count 20 -o preview
              crayon data preview model.crayon --conversations llava.json --images images \\
                --coco coco
            """
    )

    @Argument(help: ArgumentHelp("A bundle or a checkpoint folder.", valueName: "model"))
    var model: String?

    @OptionGroup(title: "Data") var data: DataOptions

    @Option(name: .long, help: ArgumentHelp("How many examples.", valueName: "n"))
    var count = 8

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same examples.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("A folder for the pictures.", valueName: "folder"))
    var output: String?

    @Option(
        name: .long, help: ArgumentHelp("A built-in prompt template in place of the model's own.", valueName: "name"))
    var template: String?

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        if count < 1 { throw ValidationError("--count \(count); expected at least 1") }
    }

    func run() throws {
        let source = try model.map { try openModel(path: $0) }
        let configuration = source?.configuration
        let template = try PromptTemplate.named(template) ?? configuration?.prompt ?? .paper
        let mixture = try data.sources(seed: seed).open(for: configuration)
        let encoder = try source.map { source in
            ExampleEncoder(
                builder: PromptBuilder(
                    template: template, tokens: source.configuration.tokens,
                    tokenizer: try source.tokenizer()),
                configuration: source.configuration)
        }
        if let output { try Folder.make(output) }
        var shown: [PreviewOutput] = []
        let previews = DataPreview.first(count, of: mixture, seed: seed, template: template, encoder: encoder)
        for (index, preview) in previews.enumerated() {
            do throws(CrayonError) {
                let preview = try preview.get()
                let pictures = try output.map { folder throws(CrayonError) in
                    try draw(preview, as: "\(folder)/\(String(format: "%04d", index + 1))")
                }
                shown.append(PreviewOutput(preview, pictures: pictures ?? [], encoder: encoder))
            } catch {
                shown.append(PreviewOutput(error: error))
            }
        }
        if json { return Output.print(try Output.json(shown)) }
        for (index, example) in shown.enumerated() {
            Output.print(PreviewText.render(example, number: index + 1) + (index + 1 < shown.count ? "\n" : ""))
        }
    }

    private func draw(_ preview: DataPreview, as stem: String) throws(CrayonError) -> [String] {
        var paths: [String] = []
        let pictures = preview.example.pictures
        for (number, picture) in pictures.enumerated() {
            let path = stem + (pictures.count > 1 ? "-\(number + 1)" : "") + ".png"
            try AtomicFile.write(DataPreview.overlay(picture).png(), to: path)
            paths.append(path)
        }
        return paths
    }
}
