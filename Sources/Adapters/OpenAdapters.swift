public import Bytes
import Checkpoints
import Foundation

/// Opens the adapters that a user names.
///
/// - Parameters:
///   - argument: a PEFT folder or its safetensors file; a bundle or a published checkpoint, for all of its sets; or either of
///     these with `:NAME`, for one. A path that exists is taken as it is, colon or not.
///   - baseIsResidual: see `PEFTFolder.read`.
/// - Returns: at least one.
/// - Throws: `CrayonError` for a path that is not there or holds no adapter, and what the readers refuse.
public func openAdapters(_ argument: String, baseIsResidual: Bool = false) throws(CrayonError) -> [Adapter] {
    let manager = FileManager.default
    var path = argument
    var wanted: String?
    if !manager.fileExists(atPath: argument), let colon = argument.lastIndex(of: ":") {
        path = String(argument[..<colon])
        wanted = String(argument[argument.index(after: colon)...])
    }
    guard manager.fileExists(atPath: path) else {
        throw CrayonError(
            .missing, in: argument, found: "no such file or folder",
            expected: "a PEFT folder, a bundle or a checkpoint, with ':NAME' for one of its sets",
            advice: "Check the path.")
    }
    let adapters =
        PEFTFiles.isPEFT(path)
        ? [try PEFTFolder.read(path: path, baseIsResidual: baseIsResidual)] : try setsOrError(path)
    guard let wanted else { return adapters }
    let chosen = adapters.filter { $0.name == wanted }
    guard !chosen.isEmpty else {
        throw CrayonError(
            .missing, in: path, item: "set '\(wanted)'", found: "nothing of that name",
            expected: "one of " + adapters.map { "'\($0.name)'" }.joined(separator: ", "))
    }
    return chosen
}

private func setsOrError(_ path: String) throws(CrayonError) -> [Adapter] {
    let sets: [Adapter]
    do {
        sets = try Adapter.sets(ofModel: path)
    } catch {
        // A folder that was meant as PEFT's lacks the one file that says what it is.
        guard FileManager.default.fileExists(atPath: "\(path)/\(PEFTFiles.weightsName)") else { throw error }
        return [try PEFTFolder.read(path: path)]
    }
    guard !sets.isEmpty else {
        throw CrayonError(
            .missing, in: path, found: "a model without low-rank sets",
            expected: "a PEFT folder, or a model with sets of its own")
    }
    return sets
}
