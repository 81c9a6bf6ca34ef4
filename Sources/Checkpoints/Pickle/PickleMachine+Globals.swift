import Bytes

/// What globals stand for.
extension PickleMachine {
    mutating func pushGlobal(module: String, name: String) throws(CrayonError) {
        guard let index = PickleGlobals.find(module: module, name: name) else {
            throw cursor.refuse(
                "'\(module.prefix(200)).\(name.prefix(200))', which is no part of a tensor",
                "tensors in dicts and lists, with plain values beside them", .unsupported,
                advice: "Crayon runs nothing that a pickle names. If you trust the file, load it in Python and save "
                    + "its state_dict alone, best with safetensors.")
        }
        push(.global(index))
    }

    /// What a global makes of its arguments.
    mutating func apply(_ function: PickleNode.Index, _ arguments: PickleNode.Index) throws(CrayonError) {
        guard case .global(let index) = pickle[function] else {
            // Methods of what is skipped, as NumPy's dtypes have.
            if case .other(let what) = pickle[function] { return push(.other(what)) }
            throw cursor.refuse("a call of what is no global", "a class or function by its name")
        }
        guard let tuple = pickle.tuple(arguments) else {
            throw cursor.refuse("a call whose arguments are no tuple", "a tuple")
        }
        switch PickleGlobals.kind(index) {
        case .dict:
            push(.dict(newContainer()))
            // OrderedDict of pairs, as Python 2 wrote it.
            if let first = tuple.first, tuple.count == 1 { try setItems(try pairs(first)) }
        case .size:
            guard let first = tuple.first, pickle.tuple(first) != nil else {
                throw cursor.refuse("a torch.Size of what is no tuple", "a tuple")
            }
            push(first)
        case .tensor, .foreignTensor: push(.made(by: index, arguments: arguments))
        case .skipped(let what): push(.other(what))
        case .tensorClass, .storage, .type:
            let global = PickleGlobals.table[Int(index)]
            throw cursor.refuse(
                "a call of '\(global.module).\(global.name)'", "tensors as torch.save writes them", .unsupported,
                advice: "If you trust the file, load it in Python and save its state_dict again.")
        }
    }

    /// Keys and values of a list of pairs; a `defaultdict` has its factory there instead.
    mutating func pairs(_ index: PickleNode.Index) throws(CrayonError) -> [PickleNode.Index] {
        guard case .list(let list) = pickle[index] else { return [] }
        var pairs: [PickleNode.Index] = []
        var next = pickle.containers[Int(list)].first
        while next != Pickle.noCell {
            let cell = pickle.cells[Int(next)]
            copied += 1
            guard copied <= cursor.offset else {
                throw cursor.refuse("dicts made of more pairs than the stream has bytes", "each pair once")
            }
            switch pickle[cell.value] {
            case .tuple(let start, 2): pairs += pickle.items[Int(start)..<Int(start) + 2]
            case .list(let pair):
                let key = pickle.containers[Int(pair)].first
                let value = pickle.containers[Int(pair)].last
                guard key != Pickle.noCell, pickle.cells[Int(key)].next == value, value != key else {
                    throw cursor.refuse("a member of a dict that is no pair", "pairs")
                }
                pairs += [pickle.cells[Int(key)].value, pickle.cells[Int(value)].value]
            default: throw cursor.refuse("a member of a dict that is no pair", "pairs")
            }
            next = cell.next
        }
        return pairs
    }
}
