public import Architecture
public import Bytes
import Checkpoints
public import Models

/// The inputs of the probes that a conversion records.
public enum ProbeInputs {
    /// The word that asks for `BuiltInProbe`'s inputs.
    public static let builtIn = "builtin"

    /// - Parameter requests: probe files, of which the inputs and the labels are taken, or `builtin`.
    /// - Throws: `CrayonError` for files that are no probes, and for two of one name.
    public static func collect(
        _ requests: [String], for configuration: ModelConfiguration
    ) throws(CrayonError) -> [ProbeInput] {
        var inputs: [ProbeInput] = []
        for request in requests {
            if request == builtIn {
                inputs += BuiltInProbe.inputs(for: configuration)
            } else {
                let probe = try Probe(SafetensorsFile(path: request), for: configuration)
                inputs.append(ProbeInput(name: name(of: request), input: probe.input, labels: probe.labels))
            }
        }
        var names: Set<String> = []
        for input in inputs where !names.insert(input.name).inserted {
            throw CrayonError(
                .usage, in: "--probe", found: "two probes named '\(input.name)'",
                expected: "a name of its own for each",
                advice: "Rename one of the files.")
        }
        return inputs
    }

    /// The file's name without folder and ending, as one word: that is what a bundle calls it.
    private static func name(of path: String) -> String {
        var name = Folder.lastPart(of: path)
        if name.hasSuffix(".safetensors") { name.removeLast(".safetensors".count) }
        return String(name.map { $0 == "." || $0.isWhitespace ? "-" : $0 })
    }
}
