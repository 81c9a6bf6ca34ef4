import ArgumentParser
import CrayonKit

struct AdapterConvert: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write an adapter in another format.",
        discussion: """
            peft: a folder that PEFT loads; of several sets, one folder each below the output. Pairs that act at image \
            positions or on the crayon prompt get a type that PEFT refuses, since it would apply them to text as well.
            gguf: llama.cpp's LoRA file. The base says how its heads lie: --base, or the model that the set is in.

            bundle: a copy of the bundle --base with the adapter in it, since a bundle is a whole model; the same as \
            'crayon adapter add'.

            Examples:
              crayon adapter convert model.crayon:vl --to peft -o DIR
              crayon adapter convert DIR --to peft --whole-paths -o OTHER
              crayon adapter convert DIR --to gguf --base CHECKPOINT -o vl.gguf
            """
    )

    enum Target: String, CaseIterable, ExpressibleByArgument {
        case peft
        case gguf
        case bundle
    }

    enum NumberType: String, CaseIterable, ExpressibleByArgument {
        case f32
        case f16
        case bf16

        var element: ElementType {
            switch self {
            case .f32: .f32
            case .f16: .f16
            case .bf16: .bf16
            }
        }
    }

    @Argument(help: ArgumentHelp("A PEFT folder, a bundle or a checkpoint; ':NAME' for one set.", valueName: "adapter"))
    var adapter: String

    @Option(name: .long, help: ArgumentHelp("peft, gguf or bundle.", valueName: "format"))
    var to: Target

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder or file to write.", valueName: "path"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("What the adapter is for: a checkpoint or a bundle.", valueName: "base"))
    var base: String?

    @Option(name: .long, help: ArgumentHelp("What base_model_name_or_path shall say (peft).", valueName: "name"))
    var baseName: String?

    @Flag(
        name: .long,
        help:
            "Write the configuration anew, each module by its whole path (peft): an end such as q_proj also matches a vision tower's."
    )
    var wholePaths = false

    @Option(name: .long, help: ArgumentHelp("Type of the numbers (gguf): f32, f16 or bf16.", valueName: "type"))
    var type = NumberType.f32

    @Flag(name: .long, help: "Replace what is there.")
    var overwrite = false

    @Flag(name: .shortAndLong, help: "No progress and no summary.")
    var quiet = false

    func validate() throws {
        if to == .bundle, base == nil {
            throw ValidationError(
                "--to bundle needs --base model.crayon: a bundle is a whole model, and the adapter goes into a copy of it."
            )
        }
        if to != .peft, baseName != nil || wholePaths {
            throw ValidationError("--base-name and --whole-paths go with --to peft.")
        }
        if to == .peft, type != .f32 {
            throw ValidationError("--type goes with --to gguf; peft keeps the numbers' own.")
        }
    }

    func run() throws {
        let adapters = try openAdapters(adapter)
        if let base {
            let model = try openBase(path: base)
            for adapter in adapters { try adapter.check(against: model) }
        }
        switch to {
        case .peft: try writeFolders(adapters)
        case .gguf: try writeGGUF(try openAdapter(adapter))
        case .bundle: if let base { try writeBundle(adapters, base: base) }
        }
    }

    private func writeFolders(_ adapters: [Adapter]) throws {
        let display = ProgressDisplay(quiet: quiet)
        for var adapter in adapters {
            if wholePaths { adapter.files.removeAll { $0.name == PEFTConfiguration.fileName } }
            let folder = adapters.count == 1 ? output : "\(output)/\(adapter.name)"
            try PEFTFolder.write(adapter, to: folder, baseName: baseName, overwrites: overwrite) {
                tensor, done, total in
                display.update(label: tensor, done: done, total: total)
            }
            display.finish()
            report(folder, adapter)
        }
    }

    private func writeGGUF(_ adapter: Adapter) throws {
        try refuseToReplace(output)
        guard let place = base ?? (PEFTFiles.isPEFT(adapter.place) ? nil : adapter.place) else {
            throw CrayonError(
                .usage, in: "--base", found: "nothing", expected: "the checkpoint or bundle that the adapter is for",
                advice: "Its names and heads decide where llama.cpp expects each row.")
        }
        try LoRAGGUF.write(adapter, over: openModel(path: place), to: output, type: type.element)
        report(output, adapter)
    }

    private func writeBundle(_ adapters: [Adapter], base: String) throws {
        try refuseToReplace(output)
        var rewrite = BundleRewrite(try BundleReader(path: base))
        for adapter in adapters { try rewrite.add(adapter, as: adapter.name) }
        let display = ProgressDisplay(quiet: quiet)
        try rewrite.write(
            to: output, kind: "add", sets: adapters.map { ($0.name, $0) },
            progress: { tensor, done, total in display.update(label: tensor, done: done, total: total) })
        display.finish()
        for adapter in adapters { report("\(output):\(adapter.name)", adapter) }
    }

    private func refuseToReplace(_ path: String) throws {
        guard !overwrite, FileSystem.exists(path) else { return }
        throw CrayonError(
            .usage, in: path, found: "a file that is already there", expected: "a new file",
            advice: "Name another, or give --overwrite.")
    }

    private func report(_ path: String, _ adapter: Adapter) {
        guard !quiet else { return }
        Output.print("\(path): \(adapter.modules.count) pairs")
        if to == .peft, let reason = adapter.reasonAgainstMerging {
            Output.note("note: \(path) is no folder for PEFT, which would misapply it: \(reason)")
        }
    }
}
