public import Bytes
import Images
import JSON

/// Conversations about pictures, or about none, in the form of LLaVA's instruction data: an array of
/// `{"id", "image", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, …]}`; `Formats/conversations.md`.
///
/// The file is gone over once when it is opened; its records are parsed when they are asked for.
public struct Conversations: Dataset {
    public let name: String
    private let records: JSONArrayIndex
    private let images: DataFolder?
    private let coco: COCOPanoptic?
    private let view: CrayonView?

    public var count: Int { records.count }

    /// - Parameters:
    ///   - images: the folder of the pictures; without it every record with a picture is refused.
    ///   - coco: panoptic maps of those of the pictures that are COCO's, found by the file's name. Where there is none
    ///     every part of a picture is unknown.
    ///   - view: how the model sees a map; nil for one without crayon queries.
    /// - Throws: `CrayonError` for a file that is no array, or an empty one.
    public init(
        path: String, images: DataFolder? = nil, coco: COCOPanoptic? = nil, view: CrayonView? = nil
    ) throws(CrayonError) {
        let index = try JSONFileIndex(file: MappedFile(path: path))
        guard let records = index.elements else {
            throw CrayonError(.malformed, in: path, found: "no array", expected: "an array of conversations")
        }
        guard records.count > 0 else { throw .noRecords(in: path) }
        self.records = records
        self.images = images
        self.coco = coco
        self.view = view
        name = path
    }

    public func example(_ index: Int, epoch: Int) throws(CrayonError) -> Example {
        let record = try records.reader(index)
        var turns: [(role: String, text: String)] = []
        for turn in try record.objects("conversations") {
            turns.append((try turn.string("from"), try turn.string("value")))
        }
        let pictures = try pictures(of: record)
        var exchanges = try ConversationReading(place: name, record: record.path).exchanges(turns)
        try ConversationReading(place: name, record: record.path).place(pictures.count, in: &exchanges)
        return Example(
            content: .conversation(exchanges), pictures: pictures, kind: "conversation",
            source: "\(name): \(record.path)")
    }

    private func pictures(of record: JSONReader) throws(CrayonError) -> [ExamplePicture] {
        let names: [String]
        if case .array? = record.object["image"] {
            names = try record.strings("image")
        } else {
            names = try record.optionalString("image").map { [$0] } ?? []
        }
        var pictures: [ExamplePicture] = []
        for file in names {
            guard let images else {
                throw CrayonError(
                    .usage, in: name, item: record.path, found: "the picture \(file)",
                    expected: "no pictures, as their folder is not given", advice: "Give it with --images.")
            }
            let path = try images.file(file, of: "key '\(record.path).image'", in: name)
            if let view, let coco, let index = coco.index(ofPicture: file) {
                pictures.append(try view.picture(coco.annotation(index), at: path).picture)
            } else {
                pictures.append(ExamplePicture(path: path))
            }
        }
        return pictures
    }
}
