public import Architecture

/// What a bundle says of itself: the model, how each weight is stored, where it comes from, and the
/// digest of every tensor. JSON in the header's metadata; see `Formats/crayon-bundle.md`.
///
/// It has no dates and no machine names: the same input and options give the same bytes.
public struct BundleManifest: Codable, Equatable, Sendable {
    /// The version that this code writes, and the only one so far.
    public static let currentVersion = 1

    public var version: Int
    public var model: ModelConfiguration
    /// What was done to make the weights what they are, oldest first: conversion, then any training.
    public var history: [BundleStep]
    public var weights: [BundleWeight]
    /// Names of the carried files; the bytes are tensors `crayon.file.NAME`.
    public var files: [String]
    public var probes: [BundleProbeEntry]
    /// Tensors and bytes by section: the parts, then `files`, `probes`, `padding`.
    public var sections: [BundleSection]
    /// SHA-256 of every tensor in the file, by name, in hexadecimal.
    public var digests: [String: String]

    public init(
        model: ModelConfiguration, history: [BundleStep], weights: [BundleWeight], files: [String] = [],
        probes: [BundleProbeEntry] = []
    ) {
        version = Self.currentVersion
        self.model = model
        self.history = history
        self.weights = weights
        self.files = files
        self.probes = probes
        sections = []
        digests = [:]
    }
}

/// One weight: its role in the model, and its tensors.
public struct BundleWeight: Codable, Equatable, Sendable {
    public var role: Role
    public var part: Part
    /// The name of its tensors in the bundle; components append a suffix.
    public var name: String
    /// The name in the source.
    public var sourceName: String
    /// Which of several sources it came from: a folder for `export`, such as `vision` or `adapters/vl`;
    /// empty for the main one.
    public var origin: String
    public var coding: BundleCoding

    public init(role: Role, part: Part, name: String, sourceName: String, origin: String = "", coding: BundleCoding) {
        self.role = role
        self.part = part
        self.name = name
        self.sourceName = sourceName
        self.origin = origin
        self.coding = coding
    }
}

/// Something that was done to the weights.
public struct BundleStep: Codable, Equatable, Sendable {
    /// `convert` for quantization of a checkpoint; training and merging add their own.
    public var kind: String
    /// Program and version.
    public var producer: String
    /// What was asked for: the profile's name, the precision of each part, block size and so on.
    public var options: [String: String]
    public var sources: [BundleSource]
    /// What was measured at each weight that the step made, by its name in the source; finite numbers.
    public var measures: [String: [String: Double]]?

    public init(
        kind: String, producer: String, options: [String: String] = [:], sources: [BundleSource] = [],
        measures: [String: [String: Double]]? = nil
    ) {
        self.kind = kind
        self.producer = producer
        self.options = options
        self.sources = sources
        self.measures = measures
    }
}

/// A file that went into a bundle.
public struct BundleSource: Codable, Equatable, Sendable {
    /// The name without folders: those are the business of the machine it was made on.
    public var name: String
    public var origin: String
    public var byteCount: Int
    public var sha256: String

    public init(name: String, origin: String = "", byteCount: Int, sha256: String) {
        self.name = name
        self.origin = origin
        self.byteCount = byteCount
        self.sha256 = sha256
    }
}

/// A recorded input and the logits that the source gave for it.
public struct BundleProbeEntry: Codable, Equatable, Sendable {
    public var name: String
    /// The tensors that it has: `input_ids`, `pixel_values`, …
    public var fields: [String]
    /// How far the bundle itself was from the probe's logits when it was made: the norm of the difference
    /// over that of the recorded ones. Nil where nobody looked.
    public var relativeError: Double?

    public init(name: String, fields: [String], relativeError: Double? = nil) {
        self.name = name
        self.fields = fields
        self.relativeError = relativeError
    }
}

public struct BundleSection: Codable, Equatable, Sendable {
    public var name: String
    public var tensors: Int
    public var bytes: Int
}
