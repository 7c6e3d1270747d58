package lb

import "context"
import "reconciler/internal/resource"

func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) error { return nil }
