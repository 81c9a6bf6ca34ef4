public import Bytes
public import JSON

/// What one id of a panoptic map stands for.
public struct PanopticSegment: Equatable, Sendable {
    public var id: UInt32
    /// As in the annotation; which class that is, the model's categories say.
    public var categoryID: Int
    /// The category's name where the annotation's file tells it.
    public var categoryName: String?
    /// Several instances that were not told apart.
    public var isCrowd: Bool

    public init(id: UInt32, categoryID: Int, categoryName: String? = nil, isCrowd: Bool = false) {
        self.id = id
        self.categoryID = categoryID
        self.categoryName = categoryName
        self.isCrowd = isCrowd
    }

    /// Reads COCO panoptic JSON in any of the forms it is passed around in: a bare list of segments, one annotation
    /// object with `segments_info`, or a whole file with `annotations`, `images` and `categories`.
    ///
    /// In a whole file the annotation is found by the map's file name, else by the picture's (through `images`), else
    /// it is the only one.
    ///
    /// - Throws: `CrayonError` naming the file and the key.
    public static func read(
        path: String, map: String, picture: String? = nil
    ) throws(CrayonError) -> [PanopticSegment] {
        try read(JSONValue.parse(file: path), name: path, map: map, picture: picture)
    }

    /// The same from JSON text in memory.
    public static func read(
        json: String, name: String, map: String, picture: String? = nil
    ) throws(CrayonError) -> [PanopticSegment] {
        try read(JSONValue.parse(json, name: name), name: name, map: map, picture: picture)
    }

    /// The segments of one annotation, whose `segments_info` must be an array of segments.
    /// - Parameter names: categories by id, where the file tells them.
    /// - Throws: `CrayonError` naming the file and the key: an id that no pixel can have or that comes twice.
    public static func read(
        annotation: JSONReader, categoryNames names: [Int: String]
    ) throws(CrayonError) -> [PanopticSegment] {
        try segments(annotation, "segments_info", names: names)
    }

    private static func read(
        _ value: JSONValue, name: String, map: String, picture: String?
    ) throws(CrayonError) -> [PanopticSegment] {
        if case .array = value {
            var wrapped = JSONObject()
            wrapped["segments"] = value
            return try segments(JSONReader(wrapped, place: name), "segments", names: [:])
        }
        let file = try JSONReader(value, place: name)
        let names = try categoryNames(file)
        guard file.object["annotations"] != nil else { return try segments(file, "segments_info", names: names) }
        let annotation = try annotation(in: file, map: Folder.lastPart(of: map), picture: picture.map(Folder.lastPart))
        return try segments(annotation, "segments_info", names: names)
    }

    private static func segments(
        _ reader: JSONReader, _ key: String, names: [Int: String]
    ) throws(CrayonError) -> [PanopticSegment] {
        var found: [PanopticSegment] = []
        var seen: Set<UInt32> = []
        for segment in try reader.objects(key) {
            let number = try segment.int("id")
            guard let id = UInt32(exactly: number), id > 0, id < 1 << 24 else {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key '\(segment.path).id'", found: "\(number)",
                    expected: "1 ... 16777215, three bytes of a pixel")
            }
            guard seen.insert(id).inserted else {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key '\(segment.path).id'", found: "a second segment \(id)")
            }
            let category = try segment.int("category_id")
            found.append(
                PanopticSegment(
                    id: id, categoryID: category, categoryName: names[category], isCrowd: try isCrowd(segment)))
        }
        return found
    }

    /// COCO writes 0 and 1; others write booleans.
    private static func isCrowd(_ segment: JSONReader) throws(CrayonError) -> Bool {
        if case .bool(let flag)? = segment.object["iscrowd"] { return flag }
        return try segment.optionalInt("iscrowd") ?? 0 != 0
    }

    private static func categoryNames(_ file: JSONReader) throws(CrayonError) -> [Int: String] {
        guard file.object["categories"] != nil else { return [:] }
        var names: [Int: String] = [:]
        for category in try file.objects("categories") { names[try category.int("id")] = try category.string("name") }
        return names
    }

    private static func annotation(
        in file: JSONReader, map: String, picture: String?
    ) throws(CrayonError) -> JSONReader {
        let annotations = try file.objects("annotations")
        for annotation in annotations where try annotation.optionalString("file_name").map(Folder.lastPart) == map {
            return annotation
        }
        if let picture, file.object["images"] != nil {
            for image in try file.objects("images") where try Folder.lastPart(of: image.string("file_name")) == picture
            {
                let id = try image.int("id")
                for annotation in annotations where try annotation.int("image_id") == id { return annotation }
            }
        }
        guard annotations.count == 1, let only = annotations.first else {
            throw CrayonError(
                .missing, in: file.place, item: "key 'annotations'",
                found: "\(annotations.count) annotations, none for \(map)\(picture.map { " or \($0)" } ?? "")",
                expected: "one whose file_name is \(map)")
        }
        return only
    }
}
