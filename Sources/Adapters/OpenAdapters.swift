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

/// Opens one adapter; `openAdapters` for the words that name it.
/// - Throws: `CrayonError` as `openAdapters` does, and when several sets are meant.
public func openAdapter(_ argument: String, baseIsResidual: Bool = false) throws(CrayonError) -> Adapter {
    let adapters = try openAdapters(argument, baseIsResidual: baseIsResidual)
    guard adapters.count == 1 else {
        throw CrayonError(
            .usage, in: argument, found: "\(adapters.count) sets", expected: "one",
            advice: "Name it: " + adapters.map { "'\(argument):\($0.name)'" }.joined(separator: " or ") + ".")
    }
    return adapters[0]
}

/// Opens one adapter with a weight: `ADAPTER=0.5`, or `ADAPTER` for 1. A path that exists is taken as it is.
/// - Throws: `CrayonError` as `openAdapter` does, and for a weight that is no number.
public func openWeightedAdapter(_ argument: String) throws(CrayonError) -> (adapter: Adapter, weight: Double) {
    guard !FileManager.default.fileExists(atPath: argument), let equals = argument.lastIndex(of: "=") else {
        return (try openAdapter(argument), 1)
    }
    let text = argument[argument.index(after: equals)...]
    guard let weight = Double(text), weight.isFinite else {
        throw CrayonError(
            .usage, in: argument, item: "weight", found: "'\(text)'", expected: "a number, as in ADAPTER=0.5")
    }
    return (try openAdapter(String(argument[..<equals])), weight)
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
