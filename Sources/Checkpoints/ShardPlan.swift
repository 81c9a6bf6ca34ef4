public import Bytes
import JSON

/// Which tensor goes into which file of a folder: one file, or shards of a greatest size with an index, named as transformers does.
///
/// Shards take the declared tensors in order, each as many as fit; a tensor larger than the limit has a shard of its own.
public struct ShardPlan: Sendable {
    public struct Shard: Sendable {
        /// The file's name in the folder.
        public let name: String
        public let declarations: [SafetensorsWriter.Declaration]
    }

    public let shards: [Shard]
    public let shardOf: [String: Int]
    public let indexName: String
    /// The text of the index; nil for one file.
    public let index: String?

    /// - Parameters:
    ///   - baseName: what the files' names begin with, `model`.
    ///   - ending: what they end with, `.safetensors`.
    ///   - limit: most bytes of tensors in one shard.
    ///   - folder: for errors.
    /// - Throws: `CrayonError` for a name that is declared twice.
    /// - Precondition: the limit is positive.
    public init(
        _ declarations: [SafetensorsWriter.Declaration], baseName: String, ending: String, limit: Int, in folder: String
    ) throws(CrayonError) {
        precondition(limit > 0)
        var contents: [[SafetensorsWriter.Declaration]] = [[]]
        var filled = 0
        var total = 0
        var shardOf: [String: Int] = [:]
        for declaration in declarations {
            if filled > 0, declaration.byteCount > limit - filled {
                contents.append([])
                filled = 0
            }
            contents[contents.count - 1].append(declaration)
            filled += declaration.byteCount
            total += declaration.byteCount
            guard shardOf.updateValue(contents.count - 1, forKey: declaration.name) == nil else {
                throw CrayonError(
                    .usage, in: folder, item: "tensor '\(declaration.name)'", found: "a name that is already taken",
                    expected: "names that are unique")
            }
        }
        let count = contents.count
        shards = contents.enumerated().map { position, declarations in
            let number = "-\(Self.digits(position + 1))-of-\(Self.digits(count))"
            return Shard(name: baseName + (count == 1 ? "" : number) + ending, declarations: declarations)
        }
        self.shardOf = shardOf
        indexName = "\(baseName)\(ending).index.json"
        var map = JSONObject()
        for (name, shard) in shardOf.sorted(by: { $0.key < $1.key }) { map[name] = .string(shards[shard].name) }
        let value: JSONValue = ["metadata": ["total_size": .int(total)], "weight_map": .object(map)]
        index = count == 1 ? nil : value.text(style: .pretty(indent: 2)) + "\n"
    }

    /// Whether a file is one that such a plan makes: of another number of shards, or the index.
    public static func names(_ name: String, baseName: String, ending: String) -> Bool {
        guard name.hasPrefix(baseName) else { return false }
        let rest = name.dropFirst(baseName.count)
        if rest == ending || rest == "\(ending).index.json" { return true }
        guard rest.hasSuffix(ending) else { return false }
        return rest.dropLast(ending.count).wholeMatch(of: /-[0-9]{5,}-of-[0-9]{5,}/) != nil
    }

    private static func digits(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
}
