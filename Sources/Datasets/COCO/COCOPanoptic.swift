public import Architecture
public import Bytes
public import Images
import JSON

/// A COCO panoptic data set on disk: annotations that are parsed when they are asked for.
///
/// Opening goes once over the JSON file and keeps where its records lie, 16 bytes for each, and the names of the
/// annotated pictures. The file stays mapped; nothing else of it is in memory.
public final class COCOPanoptic: Sendable {
    public let layout: COCOLayout
    /// The file's own list, in its order.
    public let categories: [PanopticCategory]
    private let annotations: JSONArrayIndex
    private let images: JSONArrayIndex
    private let categoryNames: [Int: String]
    /// The record in `images` of each picture's id.
    private let imageIndices: [Int: Int32]
    /// The annotation of each picture's file name, folders aside.
    private let annotationIndices: [String: Int32]

    public var name: String { annotations.name }
    public var count: Int { annotations.count }

    /// - Throws: `CrayonError` naming the file and the key: no JSON, no annotations, pictures or categories, or an id twice.
    ///   What is wrong with a single annotation comes up when it is asked for.
    public init(_ layout: COCOLayout) throws(CrayonError) {
        self.layout = layout
        let file = try JSONFileIndex(file: MappedFile(path: layout.annotations))
        annotations = try file.array("annotations")
        images = try file.array("images")
        guard annotations.count > 0 else { throw .noRecords(in: layout.annotations, item: "key 'annotations'") }
        categories = try Self.categories(file.array("categories"))
        categoryNames = Dictionary(uniqueKeysWithValues: categories.map { ($0.id, $0.name) })

        var annotated: [Int: Int32] = [:]
        for index in 0..<annotations.count {
            // A record that has no usable id is refused when it is asked for.
            guard let record = try annotations.members(index, named: ["image_id"]),
                case .number(let number)? = record.object["image_id"], let id = number.int
            else { continue }
            guard annotated.updateValue(Int32(index), forKey: id) == nil else {
                throw CrayonError(
                    .malformed, in: annotations.name, item: "key '\(annotations.path(index)).image_id'",
                    found: "a second annotation of picture \(id)")
            }
        }
        var imageIndices: [Int: Int32] = [:]
        var annotationIndices: [String: Int32] = [:]
        for index in 0..<images.count {
            guard let record = try images.members(index, named: ["id", "file_name"]) else {
                throw CrayonError(
                    .malformed, in: images.name, item: "key '\(images.path(index))'", found: "no object",
                    expected: "an object")
            }
            let id = try record.int("id")
            let file = try record.string("file_name")
            guard imageIndices.updateValue(Int32(index), forKey: id) == nil else {
                throw CrayonError(
                    .malformed, in: images.name, item: "key '\(record.path).id'", found: "a second picture \(id)")
            }
            if let annotation = annotated[id] { annotationIndices[Folder.lastPart(of: file)] = annotation }
        }
        self.imageIndices = imageIndices
        self.annotationIndices = annotationIndices
    }

    /// A picture, its map and its segments.
    /// - Parameter index: below `count`.
    /// - Throws: `CrayonError` naming the file and the record.
    public func annotation(_ index: Int) throws(CrayonError) -> COCOAnnotation {
        let record = try annotations.reader(index)
        let id = try record.int("image_id")
        guard let position = imageIndices[id] else {
            throw CrayonError(
                .mismatch, in: name, item: "key '\(record.path).image_id'", found: "\(id)",
                expected: "the id of a picture in 'images'")
        }
        let image = try images.reader(Int(position))
        let segments = try PanopticSegment.read(annotation: record, categoryNames: categoryNames)
        for segment in segments where segment.categoryName == nil {
            throw CrayonError(
                .mismatch, in: name, item: "key '\(record.path).segments_info'",
                found: "category \(segment.categoryID) of segment \(segment.id)",
                expected: "the id of a category in 'categories'")
        }
        return COCOAnnotation(
            source: "\(name): \(record.path)",
            picture: try layout.images.file(
                image.string("file_name"), of: "key '\(image.path).file_name'", in: image.place),
            panoptic: PanopticFile(
                path: try layout.maps.file(
                    record.string("file_name"), of: "key '\(record.path).file_name'", in: record.place),
                segments: segments))
    }

    /// The annotation of a picture by its file's name, folders aside; nil where there is none.
    public func index(ofPicture path: String) -> Int? { annotationIndices[Folder.lastPart(of: path)].map(Int.init) }

    private static func categories(_ records: JSONArrayIndex) throws(CrayonError) -> [PanopticCategory] {
        var categories: [PanopticCategory] = []
        var seen: Set<Int> = []
        for index in 0..<records.count {
            let record = try records.reader(index)
            let id = try record.int("id")
            guard seen.insert(id).inserted else {
                throw CrayonError(
                    .malformed, in: records.name, item: "key '\(record.path).id'", found: "a second category \(id)")
            }
            let isThing: Bool
            if case .bool(let flag)? = record.object["isthing"] {
                isThing = flag
            } else {
                isThing = try record.optionalInt("isthing") ?? 1 != 0
            }
            categories.append(PanopticCategory(id: id, name: try record.string("name"), isThing: isThing))
        }
        guard !categories.isEmpty else { throw .noRecords(in: records.name, item: "key 'categories'") }
        return categories
    }
}

/// One picture of a COCO panoptic data set.
public struct COCOAnnotation: Sendable, Equatable {
    /// As errors and logs say it: `panoptic.json: annotations[7]`.
    public var source: String
    /// The picture's path.
    public var picture: String
    public var panoptic: PanopticFile
}

/// A panoptic map that has not been read.
public struct PanopticFile: Sendable, Equatable {
    public var path: String
    public var segments: [PanopticSegment]

    public init(path: String, segments: [PanopticSegment]) {
        self.path = path
        self.segments = segments
    }

    /// - Throws: `CrayonError` naming the file, as `PanopticMap` does.
    public func read() throws(CrayonError) -> PanopticMap {
        try PanopticMap(png: MappedFile(path: path).whole, name: path, segments: segments)
    }
}
