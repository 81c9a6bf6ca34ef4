public import Bytes

/// Where the parts of a COCO panoptic data set lie; `Formats/coco.md` has the places that are tried.
public struct COCOLayout: Sendable, Equatable {
    public enum Split: String, CaseIterable, Sendable {
        case train
        case val
    }

    /// `panoptic_train2017.json`
    public var annotations: String
    /// The folder of the panoptic PNGs.
    public var maps: DataFolder
    /// The folder of the pictures.
    public var images: DataFolder

    public init(annotations: String, maps: DataFolder, images: DataFolder) {
        self.annotations = annotations
        self.maps = maps
        self.images = images
    }

    /// Finds the parts.
    /// - Parameters:
    ///   - path: MS-COCO 2017's folder, a folder with a `panoptic.json` beside its pictures, or a panoptic JSON file.
    ///   - split: which half of MS-COCO 2017; a folder of the second kind and a file have but one.
    ///   - images: the folder of the pictures, where they lie elsewhere.
    /// - Throws: `CrayonError` naming the part that is missing, and where it was looked for.
    public init(path: String, split: Split = .train, images: String? = nil) throws(CrayonError) {
        let name = "panoptic_\(split.rawValue)2017"
        if DataFolder.isFile(path) {
            annotations = path
        } else {
            _ = try DataFolder(path)
            let places = ["\(path)/annotations/\(name).json", "\(path)/\(name).json", "\(path)/panoptic.json"]
            guard let found = places.first(where: DataFolder.isFile) else {
                throw Self.missing("annotations", in: path, places)
            }
            annotations = found
        }
        let parts = annotations.split(separator: "/", omittingEmptySubsequences: false)
        let beside = parts.count > 1 ? parts.dropLast().joined(separator: "/") : "."
        let stem = (parts.last ?? "").hasSuffix(".json") ? String((parts.last ?? "").dropLast(5)) : ""
        maps = try Self.maps(stem: stem, beside: beside, place: path)
        if let images {
            self.images = try DataFolder(images)
            return
        }
        let pictures = stem.hasPrefix("panoptic_") ? String(stem.dropFirst("panoptic_".count)) : "images"
        let root = parts.dropLast().last == "annotations" ? "\(beside)/.." : beside
        let places = ["\(root)/\(pictures)", "\(root)/images/\(pictures)", "\(root)/images", beside]
        // What lies beside the annotations of the whole of COCO is no picture.
        let tried = stem == "panoptic" || !stem.hasPrefix("panoptic_") ? places : Array(places.dropLast())
        guard let found = tried.first(where: DataFolder.isFolder) else {
            throw Self.missing("pictures", in: path, tried)
        }
        self.images = try DataFolder(found)
    }

    private static func maps(stem: String, beside: String, place: String) throws(CrayonError) -> DataFolder {
        guard !stem.isEmpty else { return try DataFolder(beside) }
        for folder in ["\(beside)/\(stem)", "\(beside)/../\(stem)"] where DataFolder.isFolder(folder) {
            return try DataFolder(folder)
        }
        let archive = "\(beside)/\(stem).zip"
        if DataFolder.isFile(archive) {
            throw CrayonError(
                .unsupported, in: archive, found: "the panoptic maps in an archive",
                expected: "a folder \(stem) beside it",
                advice: "Unpack it there.")
        }
        guard !stem.hasPrefix("panoptic_") else {
            throw missing("panoptic maps", in: place, ["\(beside)/\(stem)", "\(beside)/../\(stem)"])
        }
        return try DataFolder(beside)
    }

    private static func missing(_ what: String, in place: String, _ places: [String]) -> CrayonError {
        CrayonError(
            .missing, in: place, found: "no \(what)", expected: "one of \(places.joined(separator: ", "))",
            advice: "Formats/coco.md says how the folder is laid out.")
    }
}
