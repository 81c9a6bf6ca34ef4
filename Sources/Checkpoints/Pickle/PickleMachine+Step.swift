import Bytes

extension PickleMachine {
    mutating func step(_ opcode: PickleOpcode) throws(CrayonError) {
        switch opcode {
        case .proto:
            let version = try cursor.byte()
            guard version <= 5 else {
                throw cursor.refuse("pickle protocol \(version)", "0 to 5", .unsupported)
            }
        case .frame: try checkFrame()
        case .mark: marks.append(stack.count)
        case .pop:
            // As Python does: with nothing above the mark, the mark goes.
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
        case .popMark: stack.removeLast(try popMark().count)
        case .dup: stack.append(try top())

        case .none: push(.none)
        case .newTrue: push(.bool(true))
        case .newFalse: push(.bool(false))
        case .binInt: push(.int(Int(Int32(truncatingIfNeeded: try cursor.number(4)))))
        case .binInt1: push(.int(try cursor.number(1)))
        case .binInt2: push(.int(try cursor.number(2)))
        case .int, .long: push(decimal(try cursor.line(), isLong: opcode == .long))
        case .long1: push(integer(try cursor.run(try cursor.number(1))))
        case .long4: push(integer(try cursor.run(try cursor.number(4))))
        case .float:
            _ = try cursor.line()
            push(.other(.number))
        case .binFloat:
            _ = try cursor.run(8)
            push(.other(.number))

        case .binUnicode: try pushText(4)
        case .shortBinUnicode: try pushText(1)
        case .binUnicode8: try pushText(8)
        // Python 2's strings: text in the files of its day.
        case .binString: try pushText(4)
        case .shortBinString: try pushText(1)
        case .unicode: pushEscaped(try cursor.line())
        case .string:
            let line = try cursor.line()
            guard line.count >= 2, let quote = cursor.bytes[line].first, quote == cursor.bytes[line].last,
                quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
            else { throw cursor.refuse("a string without quotes", "one in quotes") }
            pushEscaped(line.dropFirst().dropLast())
        case .binBytes: try pushBytes(4)
        case .shortBinBytes: try pushBytes(1)
        case .binBytes8, .byteArray8: try pushBytes(8)

        case .emptyTuple: try makeTuple(0)
        case .tuple1: try makeTuple(1)
        case .tuple2: try makeTuple(2)
        case .tuple3: try makeTuple(3)
        case .tuple: try makeTuple(try popMark().count)
        case .emptyList: push(.list(newContainer()))
        case .list:
            let range = try popMark()
            let list = newContainer()
            for value in stack[range] { link(list, 0, value) }
            stack.removeLast(range.count)
            push(.list(list))
        case .append:
            let value = try pop()
            try append([value])
        case .appends:
            let range = try popMark()
            let values = Array(stack[range])
            stack.removeLast(range.count)
            try append(values)
        case .emptyDict: push(.dict(newContainer()))
        case .dict:
            let range = try popMark()
            let pairs = Array(stack[range])
            stack.removeLast(range.count)
            push(.dict(newContainer()))
            try setItems(pairs)
        case .setItem:
            let value = try pop()
            let key = try pop()
            try setItems([key, value])
        case .setItems:
            let range = try popMark()
            let pairs = Array(stack[range])
            stack.removeLast(range.count)
            try setItems(pairs)
        case .emptySet: push(.other(.set))
        case .addItems: stack.removeLast(try popMark().count)
        case .frozenSet:
            stack.removeLast(try popMark().count)
            push(.other(.set))

        case .get: push(try memoized(try index(cursor.line())))
        case .binGet: push(try memoized(UInt32(try cursor.number(1))))
        case .longBinGet: push(try memoized(UInt32(try cursor.number(4))))
        case .put: memo[try index(cursor.line())] = try top()
        case .binPut: memo[UInt32(try cursor.number(1))] = try top()
        case .longBinPut: memo[UInt32(try cursor.number(4))] = try top()
        case .memoize: memo[UInt32(memo.count)] = try top()

        case .global:
            let module = try cursor.line()
            try pushGlobal(module: cursor.text(module), name: cursor.text(try cursor.line()))
        case .stackGlobal:
            let name = try pop()
            let module = try pop()
            guard let module = pickle.text(module, in: cursor.bytes), let name = pickle.text(name, in: cursor.bytes)
            else { throw cursor.refuse("a global whose name is no text", "two texts") }
            try pushGlobal(module: module, name: name)
        case .reduce, .newObject:
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .newObjectWithKeywords:
            _ = try pop()
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .object:
            let range = try popMark()
            guard range.count >= 1 else { throw cursor.refuse("an object without a class", "a class") }
            try makeTuple(range.count - 1)
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .instance:
            let module = try cursor.line()
            let name = try cursor.line()
            try makeTuple(try popMark().count)
            let arguments = try pop()
            try pushGlobal(module: cursor.text(module), name: cursor.text(name))
            try apply(try pop(), arguments)
        case .build:
            // The state of what has none here: attributes of a state dict, fields of an object that is skipped.
            _ = try pop()
            switch pickle[try top()] {
            case .dict, .other, .made: break
            default: throw cursor.refuse("a state for what takes none", "an object before it")
            }
        case .persistent:
            let name = try pop()
            push(.persistent(name))

        case .persistentText, .extension1, .extension2, .extension4, .nextBuffer, .readOnlyBuffer:
            throw cursor.refuse(
                "opcode 0x\(String(opcode.rawValue, radix: 16)), which refers to something outside of the file",
                "what torch.save writes", .unsupported)
        case .stop: break
        }
    }
}
