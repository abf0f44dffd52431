"""Mistakes that people make, made on the syntax tree of a training program.

An operator finds the places of a program at which one kind of mistake can be made. A mutant is the program with one
mistake at one place. It has no comments and lines of its own, as has the original that it is compared with: both are
written from the tree. The same source gives the same mutants with the same ids.
"""

import ast
import collections
import copy
import difflib
import re
from functools import partial

Mutant = collections.namedtuple("Mutant", "id operator line source diff")

# What has a part in training when it is called for its effect. So have functions of the script called `update...`.
TRAINING = {
    "zero_grad", "step", "backward", "clip_grad_norm_", "clip_grad_value_", "unscale_", "train", "eval", "set_epoch",
    "copy_", "lerp_", "load_state_dict", "requires_grad_",
}  # fmt: skip
# Who moves one of these out of a loop moves it in front.
BELONGS_IN_FRONT = {"zero_grad", "train", "eval", "set_epoch", "requires_grad_"}
SEEDS = {"manual_seed", "seed", "set_seed"}
MODES = {"no_grad", "inference_mode", "enable_grad", "set_grad_enabled", "autocast", "no_sync"}
# Negated, they change what is printed, how memory is used or which model it is, and nothing is wrong.
HARMLESS_FLAGS = {"flush", "exist_ok", "set_to_none", "bias", "inplace", "use_cpu", "disable_tqdm", "weights_only"}
HARMLESS_CALLS = {"add_argument", "print", "report"}
# What ranks do together, called for its effect. Without a barrier nothing is wrong.
COLLECTIVES = {
    "all_reduce", "broadcast", "reduce", "all_gather", "all_gather_into_tensor", "reduce_scatter", "reduce_scatter_tensor",
    "all_to_all", "all_to_all_single", "gather", "scatter", "broadcast_object_list", "all_gather_object",
}  # fmt: skip
REDUCTIONS = {"all_reduce", "reduce", "reduce_scatter", "reduce_scatter_tensor"}
RANKS = {"rank", "get_rank"}
SIZES = {"world_size", "get_world_size", "num_replicas"}
LOSS = re.compile("loss|entropy|divergence|reconstruction")
TYPES = {
    "float": ["half", "bfloat16"],
    "half": ["float"],
    "bfloat16": ["float", "half"],
    "float16": ["float32"],
    "float32": ["float16", "bfloat16"],
}


def original(source):
    """A program written as its mutants are."""
    return ast.unparse(ast.parse(source)) + "\n"


def mutants(program, source, operators):
    """All mutants of a program by these operators, in the order of these and of lines."""
    before = original(source)
    found, seen = [], {before}
    for operator, places in operators.items():
        ordinals = collections.Counter()
        for index in range(len(list(places(ast.parse(source))))):
            # A tree for each, for edits are made in it.
            tree = ast.parse(source)
            line, edit = list(places(tree))[index]
            edit()
            mutated = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
            ordinals[line] += 1
            if mutated not in seen:
                seen.add(mutated)
                name = f"{program}:{operator}:{line}:{ordinals[line]}"
                found.append(Mutant(name, operator, line, mutated, difference(before, mutated)))
    order = list(operators)
    return sorted(found, key=lambda mutant: (order.index(mutant.operator), mutant.line))


def difference(before, after):
    """The lines that differ, each after - or +, and those that tell where they were."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


# What trees are searched by.


def blocks(tree):
    """Every list of statements, with what has it."""
    for owner in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(owner, field, None)
            if isinstance(block, list):
                yield owner, block


def expressions(tree):
    """Every expression, with what puts another in its place."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.expr):
                yield value, partial(setattr, parent, field)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.expr):
                        yield item, partial(value.__setitem__, index)


def called(node):
    """The name of what a call, or a statement that is one, calls; without what it belongs to. Else nothing."""
    node = node.value if isinstance(node, ast.Expr) else node
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", None) or getattr(function, "id", "")


def is_training(statement):
    name = called(statement) if isinstance(statement, ast.Expr) else ""
    return name in TRAINING or name.startswith("update")


def is_loop(statement):
    return isinstance(statement, (ast.For, ast.While))


def is_about_loss(node):
    names = (getattr(part, "attr", None) or getattr(part, "id", "") for part in ast.walk(node))
    return any(LOSS.search(name) for name in names)


def module_classes(tree):
    """The classes of the program that are modules, by name."""
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {node.name: node for node in classes if any("Module" in ast.unparse(base) for base in node.bases)}


def models(tree):
    """The names of variables that are given an object of such a class, with the class."""
    classes, found = module_classes(tree), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts)
                for name, value in pairs:
                    if isinstance(name, ast.Name) and called(value) in classes:
                        found[name.id] = classes[called(value)]
    return found


def submodules(module):
    """The attributes that a class gives itself by calls in its constructor."""
    attributes = []
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if ast.unparse(target).startswith("self.") and isinstance(target, ast.Attribute):
                    attributes.append(target.attr)
    return list(dict.fromkeys(attributes))


def module_calls(tree):
    """Calls of models and of submodules, with what puts something in their place."""
    names = models(tree)
    own = set()
    for module in module_classes(tree).values():
        inside = submodules(module)
        for node in ast.walk(module):
            function = node.func if isinstance(node, ast.Call) else None
            # One of a list of modules, too.
            function = function.value if isinstance(function, ast.Subscript) else function
            if isinstance(function, ast.Attribute) and ast.unparse(function) == f"self.{function.attr}":
                if function.attr in inside:
                    own.add(node)
    for node, put in expressions(tree):
        if node in own or isinstance(node, ast.Call) and getattr(node.func, "id", None) in names:
            yield node, put


def terms_of_losses(tree):
    """What is added up to a loss, with what puts something in its place."""
    sums = set()
    for node in ast.walk(tree):
        of_loss = isinstance(node, ast.FunctionDef) and "loss" in node.name
        for part in ast.walk(node) if of_loss else [node]:
            if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Add, ast.Sub)) and is_about_loss(part):
                sums.update(side for side in (part.left, part.right) if not isinstance(side, ast.Constant))
    for node, put in expressions(tree):
        if node in sums:
            yield node, put


def method(node, name):
    return ast.Call(ast.Attribute(node, name, ast.Load()), [], [])


def deep_copy(node):
    """Whether or not the program imports the module."""
    imported = ast.parse("__import__('copy').deepcopy", mode="eval").body
    return ast.Call(imported, [node], [])


def remove(block, statement):
    block.remove(statement)
    if not block:
        block.append(ast.Pass())


def move(statement, block, where, beside, offset):
    """Out of `block`, to `offset` behind `beside` in `where`."""
    remove(block, statement)
    where.insert(where.index(beside) + offset, statement)


def swap(block, at):
    block[at], block[at + 1] = block[at + 1], block[at]


# The operators: each yields the line of a place and what makes the mistake there.


def drop_call(tree):
    for _, block in blocks(tree):
        for statement in filter(is_training, block):
            yield statement.lineno, partial(remove, block, statement)


def swap_calls(tree):
    for _, block in blocks(tree):
        for at, (one, other) in enumerate(zip(block, block[1:])):
            if called(one) and called(other) and (is_training(one) or is_training(other)):
                yield one.lineno, partial(swap, block, at)


def move_out_of_loop(tree):
    for _, block in blocks(tree):
        for loop in filter(is_loop, block):
            for statement in filter(is_training, loop.body):
                offset = 0 if called(statement) in BELONGS_IN_FRONT else 1
                yield statement.lineno, partial(move, statement, loop.body, block, loop, offset)


def move_into_loop(tree):
    def into(block, statement, loop, at):
        remove(block, statement)
        loop.body.insert(at, statement)

    for _, block in blocks(tree):
        for index, statement in enumerate(block):
            if is_training(statement):
                for loop in [loop for loop in block[index + 1 :] if is_loop(loop)][:1]:
                    yield statement.lineno, partial(into, block, statement, loop, 0)
                for loop in [loop for loop in block[:index] if is_loop(loop)][-1:]:
                    yield statement.lineno, partial(into, block, statement, loop, len(loop.body))


def move_out_of_condition(tree):
    for _, block in blocks(tree):
        for condition in block:
            if isinstance(condition, ast.If):
                for part in (condition.body, condition.orelse):
                    for statement in filter(is_training, part):
                        yield statement.lineno, partial(move, statement, part, block, condition, 1)


def negate_flag(tree):
    def is_flag(node):
        return isinstance(node, ast.Constant) and isinstance(node.value, bool)

    flags = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) not in HARMLESS_CALLS:
            flags.update(value for value in node.args if is_flag(value))
            flags.update(word.value for word in node.keywords if is_flag(word.value) and word.arg not in HARMLESS_FLAGS)
        elif isinstance(node, ast.arguments):
            named = node.posonlyargs + node.args
            given = [*zip(named[len(named) - len(node.defaults) :], node.defaults)]
            given += zip(node.kwonlyargs, node.kw_defaults)
            flags.update(value for name, value in given if is_flag(value) and name.arg not in HARMLESS_FLAGS)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute) and is_flag(node.value):
            flags.add(node.value)
    for node, put in expressions(tree):
        if node in flags:
            yield node.lineno, partial(put, ast.Constant(not node.value))
        elif ast.unparse(node) == "self.training":
            yield node.lineno, partial(put, ast.UnaryOp(ast.Not(), node))


def add_detach(tree):
    for node, put in [*module_calls(tree), *terms_of_losses(tree)]:
        yield node.lineno, partial(put, method(node, "detach"))


def drop_detach(tree):
    for node, put in expressions(tree):
        if called(node) == "detach" and isinstance(node.func, ast.Attribute):
            yield node.lineno, partial(put, node.func.value)


def add_item(tree):
    for node, put in terms_of_losses(tree):
        yield node.lineno, partial(put, method(node, "item"))


def add_data(tree):
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and LOSS.search(called(call)):
            for index, given in enumerate(call.args):
                if not isinstance(given, (ast.Constant, ast.Starred)):
                    put = partial(call.args.__setitem__, index)
                    yield given.lineno, partial(put, ast.Attribute(given, "data", ast.Load()))


def drop_with(tree):
    def without(statement, block, item):
        statement.items.remove(item)
        if not statement.items:
            at = block.index(statement)
            block[at : at + 1] = statement.body

    for owner, block in blocks(tree):
        for statement in block:
            for item in statement.items if isinstance(statement, ast.With) else []:
                if called(item.context_expr) in MODES:
                    yield item.context_expr.lineno, partial(without, statement, block, item)
        for decorator in getattr(owner, "decorator_list", []):
            if called(decorator) in MODES:
                yield decorator.lineno, partial(owner.decorator_list.remove, decorator)


def alias_copy(tree):
    tied = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)
        if isinstance(node.value, ast.Attribute) and node.value.attr == node.targets[0].attr
    }
    held = {call.func.value for call in given_to_optimizers(tree)}
    for node, put in expressions(tree):
        if called(node) == "deepcopy" and len(node.args) == 1:
            yield node.lineno, partial(put, node.args[0])
        elif called(node) == "clone" and isinstance(node.func, ast.Attribute):
            yield node.lineno, partial(put, node.func.value)
        elif node in tied or node in held:
            yield node.lineno, partial(put, deep_copy(node))


def given_to_optimizers(tree):
    """Calls of `parameters` in what optimizers are made from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and re.search(r"\boptim\.[A-Z]\w*$", ast.unparse(node.func)):
            for part in ast.walk(node):
                if called(part) == "parameters" and isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
                    yield part


def cut_parameters(tree):
    held, classes = set(given_to_optimizers(tree)), models(tree)
    for node, put in expressions(tree):
        if called(node) == "parameters" and isinstance(node.func, ast.Attribute):
            all_but_one = ast.parse(f"list({ast.unparse(node)})[:-1]", mode="eval").body
            yield node.lineno, partial(put, all_but_one)
            module = classes.get(getattr(node.func.value, "id", None))
            if node in held and module is not None:
                for attribute in dict.fromkeys(submodules(module)[:1] + submodules(module)[-1:]):
                    part = ast.Attribute(node.func.value, attribute, ast.Load())
                    yield node.lineno, partial(put, method(part, "parameters"))


def change_dtype(tree):
    for node, put in expressions(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
            for other in TYPES.get(node.func.attr, []):
                yield node.lineno, partial(put, method(node.func.value, other))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "torch":
            for other in TYPES.get(node.attr, []):
                yield node.lineno, partial(put, ast.Attribute(node.value, other, ast.Load()))


def share_seed(tree):
    for _, block in blocks(tree):
        for index, statement in enumerate(block):
            if isinstance(statement, ast.Expr) and called(statement) in SEEDS:
                # A copy: without the one in front, the run would not be the same each time.
                for loop in [loop for loop in block[index + 1 :] if is_loop(loop)][:1]:
                    yield statement.lineno, partial(loop.body.insert, 0, copy.deepcopy(statement))
    for node, put in expressions(tree):
        if called(node) == "initial_seed":
            yield node.lineno, partial(put, ast.Constant(0))


def drop_division(tree):
    for node, put in expressions(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if is_about_loss(node.left) or any(called(part) == "sum" for part in ast.walk(node.left)):
                yield node.lineno, partial(put, node.left)
    for _, block in blocks(tree):
        for statement in block:
            if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Div):
                if is_about_loss(statement.target):
                    yield statement.lineno, partial(remove, block, statement)


def off_by_one(tree):
    def one(node):
        return isinstance(node, ast.Constant) and node.value == 1

    def minus_one(node):
        return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and one(node.operand)

    def shifted(node):
        return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and one(node.right)

    def unshift(slice_):
        slice_.lower, slice_.upper = slice_.lower.left, slice_.upper.left

    for node in ast.walk(tree):
        if isinstance(node, ast.For) and called(node.iter) == "range":
            last = min(1, len(node.iter.args) - 1)
            less = ast.BinOp(node.iter.args[last], ast.Sub(), ast.Constant(1))
            yield node.lineno, partial(node.iter.args.__setitem__, last, less)
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mod):
            if isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value == 0:
                yield node.lineno, partial(node.comparators.__setitem__, 0, ast.Constant(1))
        elif isinstance(node, ast.Slice):
            if minus_one(node.upper):
                yield node.lineno, partial(setattr, node, "upper", None)
            if one(node.lower) and node.upper is None:
                yield node.lineno, partial(setattr, node, "lower", None)
            if shifted(node.lower) and shifted(node.upper):
                yield node.lineno, partial(unshift, node)


OPERATORS = {
    "drop-call": drop_call,
    "swap-calls": swap_calls,
    "move-out-of-loop": move_out_of_loop,
    "move-into-loop": move_into_loop,
    "move-out-of-condition": move_out_of_condition,
    "negate-flag": negate_flag,
    "add-detach": add_detach,
    "drop-detach": drop_detach,
    "add-item": add_item,
    "add-data": add_data,
    "drop-with": drop_with,
    "alias-copy": alias_copy,
    "cut-parameters": cut_parameters,
    "change-dtype": change_dtype,
    "share-seed": share_seed,
    "drop-division": drop_division,
    "off-by-one": off_by_one,
}


# Those of programs of several ranks.


def is_collective(statement):
    return isinstance(statement, ast.Expr) and called(statement) in COLLECTIVES


def name_of(node):
    """What a name, an attribute or a call of a function is called."""
    return called(node) or getattr(node, "attr", None) or getattr(node, "id", "")


def drop_collective(tree):
    for _, block in blocks(tree):
        for statement in filter(is_collective, block):
            yield statement.lineno, partial(remove, block, statement)


def move_collective(tree):
    """Behind the statement that follows it, or out of the loop that it is in."""

    for _, block in blocks(tree):
        for at, (one, _) in enumerate(zip(block, block[1:])):
            if is_collective(one):
                yield one.lineno, partial(swap, block, at)
        for loop in filter(is_loop, block):
            for statement in filter(is_collective, loop.body):
                yield statement.lineno, partial(move, statement, loop.body, block, loop, 1)


def on_one_rank_only(tree):
    """`if rank == 0` around what all have to do; around a collective the others would wait for ever."""

    def wrap(block, statement):
        condition = ast.parse("__import__('torch').distributed.get_rank() == 0", mode="eval").body
        block[block.index(statement)] = ast.If(condition, [statement], [])

    for _, block in blocks(tree):
        for statement in filter(is_training, block):
            if called(statement) != "backward":
                yield statement.lineno, partial(wrap, block, statement)


def forget_group(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in COLLECTIVES:
            for word in [word for word in node.keywords if word.arg == "group"]:
                yield node.lineno, partial(node.keywords.remove, word)


def change_reduction(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in REDUCTIONS:
            given = [word for word in node.keywords if word.arg == "op"]
            other = ast.parse("__import__('torch').distributed.ReduceOp.MAX", mode="eval").body
            if given and "SUM" in ast.unparse(given[0].value):
                yield node.lineno, partial(setattr, given[0], "value", other)
            elif not given and len(node.args) == 1:
                yield node.lineno, partial(node.keywords.append, ast.keyword("op", other))


def same_on_all_ranks(tree):
    """What should depend on the rank, as a seed or which part of the data it is, does not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            for side in ("left", "right"):
                if name_of(getattr(node, side)) in RANKS:
                    yield node.lineno, partial(setattr, node, side, ast.Constant(0))
        elif isinstance(node, ast.keyword) and node.arg == "rank" and name_of(node.value) in RANKS:
            yield node.value.lineno, partial(setattr, node, "value", ast.Constant(0))


def drop_divisor(tree):
    """Nothing is divided by the number of ranks."""
    for node, put in expressions(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and name_of(node.right) in SIZES:
            yield node.lineno, partial(put, node.left)
    for _, block in blocks(tree):
        for statement in block:
            by = None
            if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Div):
                by = statement.value
            elif isinstance(statement, ast.Expr) and called(statement) == "div_" and statement.value.args:
                by = statement.value.args[0]
            if by is not None and name_of(by) in SIZES:
                yield statement.lineno, partial(remove, block, statement)


OF_RANKS = {
    "drop-collective": drop_collective,
    "move-collective": move_collective,
    "on-one-rank-only": on_one_rank_only,
    "forget-group": forget_group,
    "change-reduction": change_reduction,
    "same-on-all-ranks": same_on_all_ranks,
    "drop-divisor": drop_divisor,
}
