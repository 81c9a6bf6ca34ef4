import Architecture
import Bytes
import JSON
import Tensors

/// One opened source while its layout describes it: tensors by role, config.json, and what the user asked for.
///
/// Extents read through it are checked against limits that no real model reaches, so that products of any
/// few of them cannot overflow.
final class LayoutContext {
    let place: String
    let checkpoint: any Checkpoint
    /// config.json beside the tensors.
    let config: JSONReader?
    let options: CheckpointOptions
    /// The source name of each role that a tensor claims.
    private(set) var names: [Role: String] = [:]
    /// The tensors that no rule or an ignoring one matched.
    private(set) var unused: [UnusedTensor] = []
    var warnings: [String] = []

    /// 2^20: eight times the widest published layer.
    static let widthLimit = 1 << 20
    /// 2^28 rows of a table.
    static let rowLimit = 1 << 28

    /// - Throws: `CrayonError` when two tensors claim one role.
    init(
        place: String, checkpoint: any Checkpoint, config: JSONReader?, layout: Layout, options: CheckpointOptions
    ) throws(CrayonError) {
        self.place = place
        self.checkpoint = checkpoint
        self.config = config
        self.options = options
        for name in checkpoint.names {
            if let role = layout.role(of: name) {
                if let other = names.updateValue(name, forKey: role) {
                    throw CrayonError(
                        .malformed, in: place, item: "tensor '\(name)'", found: "the same role as '\(other)', \(role)",
                        expected: "one tensor for each role", advice: "Remove one of the two.")
                }
            } else {
                unused.append(
                    UnusedTensor(
                        name: name, file: checkpoint.file(of: name), reason: layout.reasonToIgnore(name)))
            }
        }
        if let folder = checkpoint as? ShardedFolder {
            for (name, file) in folder.unindexed {
                unused.append(UnusedTensor(name: name, file: file, reason: "not in the index"))
            }
        }
    }

    func has(_ role: Role) -> Bool { names[role] != nil }

    func shape(_ role: Role) -> Shape? { names[role].flatMap { checkpoint.entry($0) }?.shape }

    /// One extent of a tensor that the layout cannot do without.
    /// - Throws: `CrayonError` when the tensor is missing, has another rank, or the extent is out of bounds.
    func extent(_ role: Role, axis: Int, rank: Int, limit: Int = widthLimit, layout: Layout) throws(CrayonError) -> Int
    {
        guard let name = names[role], let shape = shape(role) else {
            throw CrayonError(
                .missing, in: place, item: "tensor '\(layout.sourceName(of: role) ?? role.rawValue)'",
                found: "nothing", expected: "a tensor of \(rank) dimensions")
        }
        guard shape.rank == rank, (1...limit).contains(shape[axis]) else {
            throw CrayonError(
                .mismatch, in: checkpoint.file(of: name), item: "tensor '\(name)'", found: "shape \(shape)",
                expected: "\(rank) dimensions of 1 to \(limit)")
        }
        return shape[axis]
    }

    /// The number of layers that tensors of a part speak of: one more than the largest number.
    func layerCount(_ prefix: String) -> Int {
        var count = 0
        for role in names.keys where role.rawValue.hasPrefix(prefix) {
            let number = role.rawValue.dropFirst(prefix.count).prefix { $0 != "." }
            if let layer = Int(number) { count = max(count, layer + 1) }
        }
        return count
    }

    /// - Throws: `CrayonError` when there is no config.json.
    func requiredConfig() throws(CrayonError) -> JSONReader {
        guard let config else {
            throw CrayonError(
                .missing, in: place, item: "config.json", found: "nothing", expected: "config.json beside the tensors",
                advice: "Download it into the same folder.")
        }
        return config
    }
}

extension JSONReader {
    /// A positive extent, at most `limit`; nil when absent.
    func optionalExtent(_ key: String, limit: Int = LayoutContext.widthLimit) throws(CrayonError) -> Int? {
        guard let value = try optionalInt(key) else { return nil }
        guard (1...limit).contains(value) else {
            throw CrayonError(
                .malformed, in: place, item: "key '\(path.isEmpty ? key : "\(path).\(key)")'", found: "\(value)",
                expected: "1 to \(limit)")
        }
        return value
    }

    func extent(_ key: String, limit: Int = LayoutContext.widthLimit) throws(CrayonError) -> Int {
        if let value = try optionalExtent(key, limit: limit) { return value }
        return try int(key)
    }

    /// - Throws: `CrayonError` for a value that is there and is not positive and finite.
    func optionalPositive(_ key: String) throws(CrayonError) -> Double? {
        guard let value = try optionalDouble(key) else { return nil }
        guard value.isFinite, value > 0 else {
            throw CrayonError(
                .malformed, in: place, item: "key '\(path.isEmpty ? key : "\(path).\(key)")'", found: "\(value)",
                expected: "a positive number")
        }
        return value
    }
}
